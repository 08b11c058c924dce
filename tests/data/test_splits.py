# SPDX-License-Identifier: Apache-2.0
import pyarrow as pa
import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.data import split_position
from surglavi_hf.data.database import DATABASE_NAME
from surglavi_hf.data.splits import in_split, shard_edges

from ..media.test_identity import BLANKS, IDS, WRITTEN
from .reference import write_database


def test_the_place_is_fixed():
    """A change here would move videos between the splits of trained models."""
    assert split_position("dQw4w9WgXcQ") == 0.3727271142707848
    places = [split_position(f"id{index}") for index in range(2000)]
    assert all(0 <= place < 1 for place in places) and abs(sum(places) / 2000 - 0.5) < 0.02


VIDEOS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "", None]), st.sampled_from(["v", "w", None])), max_size=12
)


@given(VIDEOS, st.floats(0, 1), st.floats(0, 1))
def test_splits_partition_and_do_not_depend_on_other_videos(videos, one, other):
    low, high = sorted((one, other))
    table = pa.table(
        {
            name: pa.array(values, pa.string())
            for name, values in zip(
                ("youtube_id", "name"), zip(*videos, strict=True) if videos else ((), ()), strict=True
            )
        }
    )
    parts = [in_split(table, *bounds).to_pylist() for bounds in ((0, low), (low, high), (high, 1))]
    assert all(sum(row) == 1 for row in zip(*parts, strict=True))
    for row in range(len(videos)):
        assert in_split(table.slice(row, 1), low, high).to_pylist() == [parts[1][row]]


@given(IDS, WRITTEN, BLANKS)
def test_any_alias_of_a_video_has_its_place(id_, written, blanks):
    aliases = [(id_, None), (f"{blanks}{id_}{blanks}", None), (written(id_), None), (None, written(id_)), ("", id_)]
    table = pa.table(dict(zip(("youtube_id", "url"), map(list, zip(*aliases, strict=True)), strict=True)))
    place = split_position(id_)
    assert in_split(table, place, 1).to_pylist() == [True] * len(aliases)
    assert in_split(table, 0, place).to_pylist() == [False] * len(aliases)


@pytest.mark.parametrize("streaming", [False, True])
def test_all_copies_of_a_video_are_loaded_in_one_split(tmp_path, streaming):
    """Of 40 videos, each in six forms; with ids and names as they stand, half of them are torn apart."""
    videos = []
    for number in range(40):
        id_, forms = f"video{number:02d}-_Ab", range(6)
        youtube_ids = (id_, f"{id_} ", None, f"https://youtu.be/{id_}?t=3", "", "\u200b")
        urls = (None, "", f"http://m.youtube.com/watch?list=PL1&v={id_}", None, f"youtube.com/shorts/{id_}/", id_)
        for form, youtube_id, url in zip(forms, youtube_ids, urls, strict=True):
            about = {"name": f"v{number}-{form}", "youtube_id": youtube_id, "url": url, "title": str(number)}
            videos.append({"video_id": len(videos) + 1, **about})
    row = {"level_id": 1, "start_time": 1, "end_time": 2, "duration": 1, "caption": "x"}
    captions = [row | {"caption_id": video["video_id"], "video_id": video["video_id"]} for video in videos]
    write_database(tmp_path / DATABASE_NAME, videos=videos, captions=captions)
    for config, options in (("all", {"filter_pairs": False}), ("videos", {})):
        splits = load_dataset(
            "surglavi", config, data_dir=str(tmp_path), test_fraction=0.4, streaming=streaming, **options
        )
        found = {name: {(row["title"], row["youtube_id"]) for row in part} for name, part in splits.items()}
        assert all(found.values()) and not found["train"] & found["test"]
        assert found["train"] | found["test"] == {(str(number), f"video{number:02d}-_Ab") for number in range(40)}


@pytest.mark.parametrize("num_videos, num_shards", [(0, 1), (1, 1), (2, 2), (8, 2), (9, 3), (1000, 10), (5000, 16)])
def test_edges_of_shards(num_videos, num_shards):
    """As many as the cube root of the videos, 16 at most, all of one width."""
    videos = pa.table({"video_name": [f"video-{number}" for number in range(num_videos)]}).cast(
        pa.schema([("video_name", pa.string())])
    )
    assert shard_edges(videos, 0.0, 1.0) == pytest.approx([place / num_shards for place in range(num_shards + 1)])
    low, *_, high = shard_edges(videos, 0.25, 0.75)
    assert (low, high) == (0.25, 0.75)
