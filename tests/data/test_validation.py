# SPDX-License-Identifier: Apache-2.0
import sqlite3

import pytest

from surglavi_hf.data.check import check_database
from surglavi_hf.data.validation import REASONS

from .reference import write_database

VIDEOS = [{"video_id": 1, "name": "v", "youtube_id": "y", "duration": 100}, {"video_id": 2, "name": None}]
GOOD = {
    "video_id": 1,
    "level_id": 1,
    "start_time": 1,
    "end_time": 3,
    "duration": 2,
    "caption": "x",
    "raw_narration": "r",
}


@pytest.mark.parametrize(
    "change, reason",
    [
        ({}, None),
        ({"video_id": 3}, "orphan video_id"),
        ({"video_id": None}, "orphan video_id"),
        ({"video_id": "1"}, "orphan video_id"),
        ({"video_id": 2}, "video without a name"),
        ({"level_id": 4}, "unknown level"),
        ({"level_id": None}, "unknown level"),
        ({"level_id": 1.5}, "unknown level"),
        ({"start_time": None}, "time missing or not a finite number"),
        ({"end_time": float("nan")}, "time missing or not a finite number"),
        ({"end_time": "three"}, "time missing or not a finite number"),
        ({"duration": float("inf")}, "time missing or not a finite number"),
        ({"duration": b"2"}, "time missing or not a finite number"),
        ({"start_time": -1}, "negative start_time"),
        ({"end_time": 1}, "end_time not after start_time"),
        ({"end_time": 0.5}, "end_time not after start_time"),
        ({"duration": 0}, "duration not positive"),
        ({"caption": b"blob"}, "caption is not text"),
        ({"caption": 7}, "caption is not text"),
        ({"caption": None, "raw_narration": b"blob"}, "caption is not text"),
        ({"caption": ""}, "empty text"),
        ({"caption": " \n\u00a0\u3000"}, "empty text"),
        ({"caption": None, "raw_narration": None}, "empty text"),
        # What upstream would use is kept.
        ({"caption": None}, None),
        ({"raw_narration": b"blob"}, None),
        ({"end_time": 1000, "duration": 999}, None),
        ({"start_time": 0, "end_time": 2**60, "duration": 1e300}, None),
    ],
)
def test_reasons(tmp_path, change, reason):
    rows = [{"caption_id": 1} | GOOD | change, {"caption_id": 2} | GOOD]
    check = check_database(write_database(tmp_path / "x.db", videos=VIDEOS, captions=rows))
    assert check.left_out == ({reason: 1} if reason else {})
    assert check.loaded == 2 - len(check.left_out)
    assert reason is None or reason in REASONS


def test_no_levels_that_are_known(tmp_path):
    rows = [{"caption_id": 1} | GOOD]
    levels = [{"level_id": 1, "name": "stage"}, {"level_id": 2, "name": None}]
    path = write_database(tmp_path / "x.db", videos=VIDEOS, captions=rows, levels=levels)
    assert check_database(path).left_out == {"unknown level": 1}


def test_repeated_ids(tmp_path):
    """NULL and text are no ids, and none repeats another."""
    rows = [{"caption_id": index} | GOOD for index in range(7)]
    path = write_database(tmp_path / "x.db", videos=VIDEOS, captions=rows)
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE copy AS SELECT * FROM captions; DROP TABLE captions;")
    for old, new in ((1, None), (2, None), (3, 0), (4, "x"), (5, "x")):
        connection.execute("UPDATE copy SET caption_id = ? WHERE caption_id = ?", (new, old))
    connection.execute("ALTER TABLE copy RENAME TO captions")
    connection.commit()
    connection.close()
    assert check_database(path).left_out == {"caption_id is not an integer": 4, "caption_id repeated": 1}
