# SPDX-License-Identifier: Apache-2.0
"""Property-based: the tables of random, hostile databases against plain Python."""

import math
import tempfile
from pathlib import Path

import pytest
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from surglavi_hf.data.check import check_database

from .reference import expected_rows, is_sound, sound_captions, stored, write_database

HOSTILE = st.sampled_from(
    [None, "", "abc", "5", b"\xff\x00", -1, -1.5, 0, 2**62, -(2**63), 1e300, math.inf, -math.inf, math.nan, 2.5]
)
TEXT = st.one_of(
    st.sampled_from(
        ["a clip", "naïve “quotes” 縫合 🫀", "longer than the others", " \t\u2003", "", "x\x00y", None, b"\xff", 7]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
TIME = st.one_of(st.integers(0, 40), st.integers(0, 400).map(lambda tenths: tenths / 10), HOSTILE)
FLAG = st.sampled_from([0, 1, 1, 1, None, "1", "yes", 2])
CAPTION = st.fixed_dictionaries(
    {
        "video_id": st.one_of(st.integers(1, 3), st.integers(1, 5), HOSTILE),
        "level_id": st.one_of(st.integers(1, 3), st.integers(0, 5), HOSTILE),
        "raw_narration": TEXT,
        "start_time": TIME,
        "end_time": TIME,
        "duration": TIME,
        "is_surgical_content": FLAG,
        "is_descriptive": FLAG,
        "caption": TEXT,
    }
)
VIDEO = st.fixed_dictionaries(
    {
        "name": st.one_of(
            st.sampled_from(["v1", "v2", "../../etc", " ", "", None, b"v"]), st.text("ab/.", max_size=3)
        ),
        "youtube_id": st.sampled_from(["y1", "y2", "y3", "", None, 4, b"y"]),
        "fps": TIME,
        "width": HOSTILE,
        "duration": TIME,
    }
)
LEVELS = st.sampled_from(
    [
        ("task", "step", "phase"),
        ("fine", "mid", "coarse"),
        ("phase", "step", "task"),
        ("Phase ", "MID", "stage"),
    ]
)


@st.composite
def databases(draw):
    videos = [{"video_id": index + 1} | video for index, video in enumerate(draw(st.lists(VIDEO, max_size=4)))]
    captions = [{"caption_id": index + 1} | row for index, row in enumerate(draw(st.lists(CAPTION, max_size=20)))]
    levels = [{"level_id": index + 1, "name": name} for index, name in enumerate(draw(LEVELS))]
    return {"videos": videos, "captions": captions, "levels": levels}


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "filter_pairs": st.booleans(),
        "enhanced_captions": st.booleans(),
        "min_duration": st.sampled_from([0, 3, 0.5]),
        "max_duration": st.sampled_from([10, 500.0, math.inf]),
        "deduplicate": st.booleans(),
    },
)


def load(folder, *config, **options):
    """Built in a cache of its own."""
    return load_dataset(
        "surglavi", *config, data_dir=str(folder), split="train", cache_dir=f"{folder}/cache", **options
    )


@settings(max_examples=60)
@given(databases(), st.sampled_from(["all", "task", "step", "phase"]), OPTIONS)
def test_rows_equal_the_reference(tables, level, options):
    with tempfile.TemporaryDirectory() as folder:
        path = write_database(Path(folder) / "surglavi_beta.db", **tables)
        rows = load(folder, level, **options).remove_columns("clip").to_list()
        expected = expected_rows(path, level, **options)
        assert [{name: row[name] for name in expected[0]} for row in rows] == expected if expected else rows == []
        check = check_database(folder).to_dict()
        assert check["captions"] == len(tables["captions"])
        assert check["loaded"] == len(sound_captions(path))
        assert check["loaded"] + sum(check["left_out"].values()) == check["captions"]


@settings(max_examples=40)
@given(databases(), st.sampled_from([(0.0, 0.5), (0.3, 0.3), (0.5, 0.0)]))
def test_splits_partition_the_videos(tables, fractions):
    with tempfile.TemporaryDirectory() as folder:
        path = write_database(Path(folder) / "surglavi_beta.db", **tables)
        options = {"filter_pairs": False, "max_duration": math.inf}
        fraction = dict(zip(("validation_fraction", "test_fraction"), fractions, strict=True))
        splits = load_dataset("surglavi", data_dir=folder, cache_dir=f"{folder}/cache", **options, **fraction)
        ids = [row["caption_id"] for rows in splits.values() for row in rows]
        assert sorted(ids) == [row["caption_id"] for row in expected_rows(path, **options)]
        found: dict[str, set] = {}
        for name, rows in splits.items():
            for row in rows:
                found.setdefault(row["youtube_id"] or f"name {row['video_name']}", set()).add(name)
        assert all(len(names) == 1 for names in found.values()), "a YouTube id in two splits"


def test_the_reference_sees_what_it_is_for(tmp_path):
    """A property of random databases shows nothing where all of their rows are bad."""
    tables = {
        "videos": [{"video_id": 1, "name": "v", "youtube_id": "y"}],
        "captions": [
            {
                "caption_id": 1,
                "video_id": 1,
                "level_id": 1,
                "caption": "x",
                "start_time": 1,
                "end_time": 2,
                "duration": 1,
            }
        ],
    }
    path = write_database(tmp_path / "x.db", **tables)
    assert len(sound_captions(path)) == 1 and len(expected_rows(path, filter_pairs=False)) == 1
    assert not is_sound(stored(path, "captions")[0] | {"end_time": 1}, {1: {"name": "v"}}, {1: 1})


@pytest.mark.parametrize("config", ["videos", "transcriptions"])
def test_the_other_tables(tmp_path, config):
    tables = {
        "videos": [
            {"video_id": 1, "name": "v", "youtube_id": "y", "title": b"blob", "fps": "fast", "width": 640.0},
            {"video_id": 2, "name": "silent", "youtube_id": None, "total_caption_count": 0, "year": 2020, "fps": 25},
        ],
        "transcriptions": [
            {"transcription_id": 1, "video_id": 1, "file_path": "/else/where/v.json", "text": "words"},
            {"transcription_id": 2, "video_id": 1, "file_path": "../../secret.json", "text": None},
            {"transcription_id": 3, "video_id": 9, "file_path": None, "text": "orphan"},
        ],
    }
    write_database(tmp_path / "surglavi_beta.db", **tables)
    (tmp_path / "secret.json").write_text("outside")
    (tmp_path / "transcriptions").mkdir()
    before = load(tmp_path, config).to_list()
    (tmp_path / "transcriptions" / "v.json").write_text("{}")
    rows = load(tmp_path, config).to_list()
    if config == "videos":
        assert rows == before and [row["video_id"] for row in rows] == [1, 2]
        assert (rows[0]["title"], rows[0]["fps"], rows[0]["width"]) == (None, None, 640)
        assert (rows[1]["total_caption_count"], rows[1]["fps"], rows[1]["year"]) == (0, 25.0, 2020)
        assert len(rows[0]) == 18
    else:
        assert [row["transcription_id"] for row in rows] == [1, 2]
        assert [row["file"] for row in before] == [None, None]
        assert [row["file"] for row in rows] == [str(tmp_path / "transcriptions" / "v.json"), None]
        assert rows[0]["text"] == "words" and rows[0]["video_name"] == "v" and rows[0]["youtube_id"] == "y"
