# SPDX-License-Identifier: Apache-2.0
import multiprocessing
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from datasets import Dataset, interleave_datasets, load_dataset
from datasets.distributed import split_dataset_by_node
from hypothesis import given, settings
from torch.utils.data import DataLoader, get_worker_info

from surglavi_hf.data import DATABASE_NAME, split_position
from surglavi_hf.data.builder import LEVELS, SurgLaVi
from surglavi_hf.data.check import check_database

from .reference import expected_rows, sound_captions, stored, write_database
from .test_tables import CAPTION

CARDS = Path(__file__).parents[2] / "loading_script"


def load(database: Path, *config, **options) -> Dataset:
    return load_dataset("surglavi", *config, data_dir=str(database.parent), split="train", **options)


def assert_rows(dataset: Dataset, expected: list[dict]):
    assert len(dataset) == len(expected) > 20
    for name in expected[0]:
        assert dataset[name][:] == [row[name] for row in expected], name


@pytest.mark.parametrize(
    "level, options",
    [
        ("all", {}),
        ("task", {}),
        ("step", {"filter_pairs": False}),
        ("phase", {"enhanced_captions": False}),
        ("all", {"filter_pairs": False, "min_duration": 3, "max_duration": 200}),
        ("all", {"max_duration": 10_000.0}),
    ],
)
def test_rows_equal_the_upstream_semantics(database, level, options):
    assert_rows(load(database, level, **options), expected_rows(database, level, **options))


def test_columns_of_the_video(database):
    rows = load(database)
    assert rows[0]["title"] == f"Vidéo {rows[0]['video_id']}" and rows[0]["youtube_id"] == f"id{rows[0]['video_id']}"
    assert rows[0]["fps"] == 25.0 and rows[0]["width"] is None
    clip = rows[0]["clip"]
    assert (clip.video_name, clip.start_time) == (rows[0]["video_name"], rows[0]["start_time"])
    assert clip.video_dir == str(database.parent)


@pytest.mark.parametrize("alias, level", [("fine", "task"), ("mid", "step"), ("coarse", "phase")])
def test_levels_by_their_other_names(database, alias, level):
    assert load(database, alias)._fingerprint == load(database, level)._fingerprint


def test_an_option_given_at_its_default_shares_the_cache(database):
    plain, given, other = (
        load(database, "task", **options).cache_files
        for options in ({}, {"filter_pairs": True, "max_duration": 500, "test_fraction": 0.0}, {"filter_pairs": False})
    )
    assert plain == given != other


def test_level_is_a_class_label(database):
    assert load(database).features["level"].names == LEVELS == ["task", "step", "phase"]


def test_splits_partition_the_videos(database):
    whole = load(database)
    splits = load_dataset("surglavi", data_dir=str(database.parent), validation_fraction=0.2, test_fraction=0.3)
    videos = {name: set(rows["youtube_id"]) for name, rows in splits.items()}
    assert set(videos) == {"train", "validation", "test"} and all(videos.values())
    assert sum(map(len, videos.values())) == len(set.union(*videos.values())), "a video in two splits"
    assert sorted(caption for rows in splits.values() for caption in rows["caption_id"]) == whole["caption_id"][:]
    assert all(split_position(youtube_id) < 0.3 for youtube_id in videos["test"])


def test_levels_and_aliases_of_a_video_fall_together(database):
    """The leak that would matter: a phase in training, its task in the test."""
    fractions = {"validation_fraction": 0.3, "test_fraction": 0.3}
    split_of: dict[str, set[str]] = {}
    for level in LEVELS:
        splits = load_dataset("surglavi", level, data_dir=str(database.parent), **fractions)
        for name, rows in splits.items():
            for youtube_id in rows["youtube_id"]:
                split_of.setdefault(youtube_id, set()).add(name)
    assert len(split_of) > 30 and all(len(names) == 1 for names in split_of.values())


def test_a_new_video_moves_no_other(database, tmp_path):
    copy = tmp_path / DATABASE_NAME
    shutil.copy(database, copy)
    connection = sqlite3.connect(copy)
    connection.executemany(
        "INSERT INTO videos(video_id, name, youtube_id) VALUES (?, ?, ?)",
        [(index, f"v{index}", f"id{index}") for index in range(40, 46)],
    )
    connection.commit()
    connection.close()
    before, after = (
        load_dataset("surglavi", data_dir=str(path.parent), test_fraction=0.4)["test"] for path in (database, copy)
    )
    added = set(after["youtube_id"]) - set(before["youtube_id"])
    assert (
        added and [row for row in after["caption_id"] if row in set(before["caption_id"])] == before["caption_id"][:]
    )


@pytest.mark.parametrize(
    "config, options, message",
    [
        ("all", {"test_fraction": -0.1}, "test_fraction=-0.1"),
        ("all", {"test_fraction": float("nan")}, "test_fraction=nan"),
        ("all", {"test_fraction": 0.6, "validation_fraction": 0.4}, "test_fraction=0.6"),
        ("all", {"min_duration": 5.0, "max_duration": 5.0}, "min_duration=5.0"),
        ("all", {"min_duration": -1.0}, "min_duration=-1.0"),
        ("all", {"min_duration": "3"}, "expected numbers"),
        ("videos", {"deduplicate": True, "min_duration": 2}, "min_duration, deduplicate chooses captions"),
        ("transcriptions", {"filter_pairs": False}, "filter_pairs chooses captions"),
    ],
)
def test_options_out_of_range(database, config, options, message):
    with pytest.raises(ValueError, match=message):
        load(database, config, **options)


def test_options_that_do_not_exist(database):
    """The names come first; datasets would print the whole config before them."""
    with pytest.raises(
        ValueError, match=r"^surglavi has no option levels, min_durations; it has .*filter_pairs, .*_only$"
    ):
        load(database, "step", min_durations=3, levels=None)


def test_deduplicate_keeps_the_longest_text(database, tmp_path):
    interval = {"video_id": 1, "start_time": 1.0, "end_time": 3.0, "duration": 2.0, "is_surgical_content": 1}
    texts = ["long text", "longest text", "縫合縫合縫合縫合縫合縫", "LONGEST TEXT"]  # bytes do not count
    captions = [
        {"caption_id": index, "level_id": 1, "caption": text, "is_descriptive": 1} | interval
        for index, text in enumerate(texts)
    ]
    captions += [captions[0] | {"caption_id": 10, "level_id": 2}, captions[0] | {"caption_id": 11, "end_time": 3.5}]
    captions.append(captions[0] | {"caption_id": 12, "caption": "longest of all, but filtered", "is_descriptive": 0})
    path = write_database(tmp_path / DATABASE_NAME, videos=stored(database, "videos"), captions=captions)
    assert load(path, deduplicate=True)["caption_id"][:] == [1, 10, 11]
    assert len(load(path)) == 6


def test_no_database_in_data_dir(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=rf"no database at {tmp_path}/surglavi_beta\.db .*hf download .*data_dir"
    ):
        load_dataset("surglavi", "phase", data_dir=str(tmp_path))


def test_unknown_config(database):
    available = r"\['all', 'task', 'step', 'phase', 'videos', 'transcriptions'\]"
    with pytest.raises(ValueError, match=rf"'fase' not found. Available: {available}"):
        load(database, "fase")


def test_broken_databases(tmp_path):
    path = tmp_path / DATABASE_NAME
    path.write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match="not a readable SQLite database"):
        load(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE videos(video_id)")
    connection.close()
    with pytest.raises(ValueError, match="has no table captions"):
        load(path)


def test_a_changed_database_is_built_anew_and_an_unchanged_one_is_not(database, tmp_path, write_video):
    copy = tmp_path / DATABASE_NAME
    shutil.copy(database, copy)
    before = load(copy)
    write_video(tmp_path / "videos" / "v1" / "v1.mp4", [0.0, 0.1])
    (tmp_path / "new.txt").write_text("x")
    again = load(copy)
    assert again.cache_files == before.cache_files and again._fingerprint == before._fingerprint
    connection = sqlite3.connect(copy)
    connection.execute("UPDATE captions SET caption = 'changed'")
    connection.commit()
    connection.close()
    after = load(copy)
    assert set(after["caption"]) == {"changed"} and len(after) == len(before)
    assert after._fingerprint != before._fingerprint


def test_two_runs_give_identical_fingerprints(database):
    code = (
        "import surglavi_hf; from datasets import load_dataset;"
        f"print(load_dataset('surglavi', 'step', data_dir={str(database.parent)!r}, split='train')._fingerprint)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout == load(database, "step")._fingerprint + "\n"


def test_video_dir_and_available_only(database, tmp_path, write_video):
    empty = load(database, video_dir=str(tmp_path), available_only=True)
    assert len(empty) == 0 and empty.column_names == load(database).column_names
    for name in ("v1", "v2"):
        write_video(tmp_path / "videos" / name / f"{name}.mp4", [0.0, 0.1])
    (tmp_path / "videos" / "v3").mkdir()
    there = load(database, video_dir=str(tmp_path), available_only=True)
    assert set(there["video_name"]) == {"v1", "v2"} and all(row["clip"].available for row in there)
    assert len(load(database, video_dir=str(tmp_path))) == len(load(database))
    videos = load(database, "videos", video_dir=str(tmp_path), available_only=True)
    assert videos["name"][:] == ["v1", "v2"]


@pytest.mark.parametrize("config", ["all", "step", "videos", "transcriptions"])
def test_streaming_gives_the_same_rows(corpus, config):
    options = {"data_dir": str(corpus), "test_fraction": 0.3}
    for split in ("train", "test"):
        streamed = load_dataset("surglavi", config, split=split, streaming=True, **options)
        built = load_dataset("surglavi", config, split=split, **options)
        number = built.column_names[0]
        assert sorted(streamed, key=lambda row: row[number]) == list(built)
        assert len(built) and streamed.features == built.features and streamed.num_shards > 1


@pytest.fixture(scope="module")
def many_videos(tmp_path_factory) -> Path:
    """300 videos of 40 captions each, one video after the other as in the published database."""
    row = {"level_id": 1, "start_time": 1, "end_time": 2, "duration": 1, "is_surgical_content": 1, "is_descriptive": 1}
    captions = [row | {"caption_id": id_, "video_id": id_ // 40, "caption": f"c{id_}"} for id_ in range(12_000)]
    captions[70]["caption"] = captions[60]["caption"] + "longer"
    videos = [{"video_id": index, "name": f"v{index}", "youtube_id": f"y{index}"} for index in range(300)]
    path = tmp_path_factory.mktemp("many") / DATABASE_NAME
    return write_database(path, videos=videos, captions=captions)


def test_shuffled_streams_mix_the_videos(many_videos):
    """A buffer of consecutive rows would have 25 videos, and a batch from it no more."""
    built, streamed = (load(many_videos, streaming=streaming) for streaming in (False, True))
    assert built["caption_id"][:] == list(range(12_000)), "in the order of the database"
    for seed in range(3):
        mixed = len(set(built.shuffle(seed=seed)["video_id"][:256]))
        first = streamed.shuffle(seed=seed, buffer_size=1000).take(256)
        assert len({row["video_id"] for row in first}) > 0.9 * mixed > 140


def test_a_stream_is_shared_by_processes_and_workers(many_videos):
    """Each row comes once, a video from one worker."""
    streamed = load(many_videos, streaming=True).select_columns(["caption_id", "video_id", "caption"])
    assert streamed.num_shards == 7
    rows = []
    for rank in range(2):
        part = split_dataset_by_node(streamed, rank, 2).shuffle(seed=1)
        workers: dict[int, set[int]] = {}
        for worker, row in DataLoader(part, batch_size=None, num_workers=2, collate_fn=with_worker):
            workers.setdefault(worker, set()).add(row["video_id"])
            rows.append(row)
        assert len(workers) == 2 and not set.intersection(*workers.values())
    assert sorted(row["caption_id"] for row in rows) == list(range(12_000))
    captions = load(many_videos)["caption"]
    assert all(row["caption"] == captions[row["caption_id"]] for row in rows)


def with_worker(row):
    return get_worker_info().id, row


def test_a_stream_has_one_order_and_goes_on_where_it_stopped(many_videos):
    streamed = load(many_videos, "task", streaming=True, deduplicate=True).select_columns(["caption_id", "caption"])
    rows = list(streamed)
    assert rows == list(streamed) and len(rows) == 300  # one interval for each video
    assert {row["caption_id"]: row["caption"] for row in rows}[70] == "c60longer"
    iterator = iter(streamed)
    for _ in range(123):
        next(iterator)
    streamed.load_state_dict(streamed.state_dict())
    assert list(streamed) == rows[123:]


@pytest.mark.parametrize("num_videos, num_shards", [(0, 1), (1, 1), (2, 2), (9, 3), (30, 4)])
def test_few_videos_make_few_shards(tmp_path, num_videos, num_shards):
    videos = [{"video_id": index, "name": f"v{index}", "youtube_id": "y"} for index in range(num_videos)]
    copies = write_database(tmp_path / "copies.db", videos=videos)
    videos = [video | {"youtube_id": f"y{video['video_id']}"} for video in videos]
    database = write_database(tmp_path / "videos.db", videos=videos)
    streams = [
        load_dataset("surglavi", "videos", data_files=str(path), split="train", streaming=True)
        for path in (copies, database)
    ]
    assert [stream.num_shards for stream in streams] == [1, num_shards]
    assert all(sum(1 for _ in stream) == num_videos for stream in streams)


@pytest.mark.parametrize(
    "change", ["DELETE FROM captions WHERE caption_id = 7", "UPDATE captions SET caption_id = -1"]
)
def test_a_database_that_changes_under_a_stream(tmp_path, change):
    """What was found of its captions is not what is there."""
    path = tmp_path / DATABASE_NAME
    row = {"video_id": 1, "level_id": 1, "start_time": 1, "end_time": 2, "duration": 1, "caption": "x"}
    write_database(path, videos=[{"video_id": 1, "name": "v"}], captions=[{"caption_id": 7} | row])
    stream = load(path, streaming=True, filter_pairs=False)
    assert sum(1 for _ in stream) == 1
    state = path.stat()
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # as where the clock is coarse
    with pytest.raises(OSError, match=rf"{path} was changed while it was streamed"):
        list(stream)
    os.utime(path)
    assert sum(1 for _ in stream) == change.startswith("UPDATE")


def test_streams_cross_threads(tmp_path):
    """As when datasets interleaves them; the first thousand rows come with one fetch."""
    row = {"video_id": 1, "level_id": 1, "start_time": 1, "end_time": 2, "duration": 1, "caption": "x"}
    flags = {"is_surgical_content": 1, "is_descriptive": 1}
    captions = [{"caption_id": index} | row | flags for index in range(3000)]
    path = write_database(tmp_path / DATABASE_NAME, videos=[{"video_id": 1, "name": "v"}], captions=captions)
    rows = iter(load(path, streaming=True))
    next(rows)
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(lambda: sum(1 for _ in rows)).result() == 2999
    streams = [load(path, level, streaming=True) for level in ("all", "task")]
    assert sum(1 for _ in interleave_datasets(streams, stopping_strategy="all_exhausted")) >= 6000


def test_a_narration_counts_where_it_is_the_text(tmp_path):
    """Whatever the enriched caption; and the option moves no parent."""
    row = {"video_id": 1, "start_time": 1, "end_time": 2, "duration": 1, "raw_narration": "raw"}
    captions = [
        {"caption_id": 1, "level_id": 1, "caption": "x"} | row,
        {"caption_id": 2, "level_id": 1, "caption": ""} | row,
        {"caption_id": 3, "level_id": 1, "caption": b"blob"} | row,
        {"caption_id": 4, "level_id": 2, "caption": " "} | row,
        {"caption_id": 5, "level_id": 2, "caption": "x"} | row | {"end_time": 3, "raw_narration": ""},
    ]
    path = write_database(tmp_path / DATABASE_NAME, videos=[{"video_id": 1, "name": "v"}], captions=captions)
    enhanced, raw = (load(path, filter_pairs=False, enhanced_captions=value) for value in (True, False))
    assert enhanced["caption_id"][:] == [1, 5] and enhanced["parent_caption_id"][:] == [5, None]
    assert raw["caption_id"][:] == [1, 2, 3, 4] and raw["parent_caption_id"][:] == [5, 5, 5, None]
    assert set(raw["caption"]) == {"raw"} and not any(raw["is_enhanced"])


def build(folder, cache_dir, start, results):
    start.wait(60)
    dataset = load_dataset("surglavi", data_dir=folder, split="train", cache_dir=cache_dir)
    results.put((len(dataset), dataset._fingerprint, sum(dataset["caption_id"])))


def test_several_processes_build_one_cache(database, tmp_path):
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    arguments = (str(database.parent), str(tmp_path), start, results)
    processes = [context.Process(target=build, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    found = {results.get(timeout=120) for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1 and len(list(tmp_path.rglob("*.arrow"))) == 1 and not list(tmp_path.rglob("*.incomplete"))


def test_five_thousand_hostile_rows(tmp_path):
    """Every value of every column drawn from what the property-based tests draw from."""
    rows: list[dict] = []

    @settings(max_examples=1000, database=None)
    @given(CAPTION)
    def draw(row):
        rows.append(row)

    draw()
    rng = random.Random(1)
    captions = [{"caption_id": index} | {name: rng.choice(rows)[name] for name in rows[0]} for index in range(5000)]
    for row in captions:  # beyond, an overlap less a few seconds is the same number, and which is larger no question
        if row["end_time"] in (2**62, 1e300):
            row["end_time"] = 2**40
    for row in rng.sample(captions, 2500):  # enough that are good
        row |= {"video_id": 1, "level_id": 2, "start_time": rng.randrange(900) / 10, "duration": 5, "caption": "x"}
        row["end_time"] = row["start_time"] + 5
    videos = [{"video_id": index, "name": f"v{index}", "youtube_id": f"y{index}"} for index in (1, 2)]
    path = write_database(tmp_path / DATABASE_NAME, videos=videos, captions=captions)
    everything = {"filter_pairs": False, "max_duration": float("inf")}
    loaded = load(path, **everything)
    check = check_database(path)
    assert len(loaded) == check.loaded == len(sound_captions(path)) and 2500 <= check.loaded < 4500
    assert check.loaded + sum(check.left_out.values()) == check.captions == 5000
    assert_rows(loaded, expected_rows(path, **everything))


def test_left_out_rows_are_logged_once_in_one_line(tmp_path, caplog):
    good = {"video_id": 1, "level_id": 1, "start_time": 1, "end_time": 3, "duration": 2, "caption": "x"}
    captions = [{"caption_id": index} | good for index in range(9)]
    captions[0]["end_time"], captions[1]["end_time"], captions[2]["caption"] = 900, None, ""
    videos = [{"video_id": 1, "name": "v", "youtube_id": "y", "duration": 60}]
    path = write_database(tmp_path / DATABASE_NAME, videos=videos, captions=captions)
    load_dataset("surglavi", data_dir=str(tmp_path), test_fraction=0.3, validation_fraction=0.3, filter_pairs=False)
    (record,) = [record for record in caplog.records if record.name.startswith("surglavi_hf")][:1]
    lines = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert (
        lines
        == [record.getMessage()]
        == [
            f"{path}: left out 2 of 9 captions (1 time missing or not a finite number, 1 empty text); "
            "1 captions end after their video and are read up to its end; see `surglavi check`"
        ]
    )


@pytest.mark.parametrize("config", ["all", "videos", "transcriptions"])
def test_every_column_is_documented(database, config):
    """In the builder's docstring; and on the dataset card, but for what is of this machine."""
    columns = set(load(database, config).column_names if config != "transcriptions" else ["file", "text"])
    assert columns <= set(re.findall(r"`(\w+)`", SurgLaVi.__doc__))
    assert columns - {"clip", "file"} <= set(re.findall(r"`(\w+)`", (CARDS / "columns.md").read_text()))


def test_full_scale(shared, tmp_path):
    """The real export: 157,249 rows, times, texts and parents those of plain Python."""
    path = tmp_path / DATABASE_NAME
    subprocess.run([sys.executable, shared / "tools" / "make_beta_db.py", path], check=True)
    dataset = load(path)
    assert len(dataset) == 157_249
    assert_rows(dataset, expected_rows(path))
    streamed = load(path, "task", streaming=True).shuffle(seed=0, buffer_size=1000).take(256)
    assert len({row["video_id"] for row in streamed}) > 200, "as after a shuffle of all, which mixes 237"
