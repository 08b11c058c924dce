# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys

import pytest

from surglavi_hf.cli import main
from surglavi_hf.data.check import check_database

from .reference import write_database

VIDEOS = [
    {"video_id": 1, "name": "v", "youtube_id": "y", "duration": 100},
    {"video_id": 2, "name": "../../etc/passwd", "youtube_id": "y"},
]
GOOD = {"video_id": 1, "level_id": 1, "start_time": 1, "end_time": 3, "duration": 2, "caption": "x"}


@pytest.fixture
def bad(tmp_path):
    captions = [{"caption_id": index} | GOOD for index in range(1, 12)]
    captions[0]["start_time"] = "[red]soon\x1b[31m"
    captions[1]["caption"], captions[2]["caption"], captions[3]["caption"] = b"\xff" * 500, "", ""
    captions[4]["end_time"] = 1000
    return write_database(tmp_path / "surglavi_beta.db", videos=VIDEOS, captions=captions)


def test_counts_examples_and_warnings(bad):
    check = check_database(bad.parent)
    assert check.to_dict() == {
        "captions": 11,
        "loaded": 7,
        "left_out": {"empty text": 2, "time missing or not a finite number": 1, "caption is not text": 1},
    }
    assert check.examples["empty text"][0] == {"caption_id": 3, "caption": "", "raw_narration": None}
    assert check.examples["time missing or not a finite number"][0]["start_time"] == "[red]soon\x1b[31m"
    assert sorted(check.warnings.values()) == [1, 1, 1]


def test_copies_and_shared_files_are_told(tmp_path):
    videos = [
        {"video_id": 1, "name": "a", "youtube_id": "dQw4w9WgXcQ"},
        {"video_id": 2, "name": "b", "url": "https://youtu.be/dQw4w9WgXcQ?t=3"},
        {"video_id": 3, "name": "a", "youtube_id": "AAAAAAAAAAA"},
        {"video_id": 4},
        {"video_id": 5, "youtube_id": " "},
    ]
    warnings = check_database(write_database(tmp_path / "x.db", videos=videos, captions=[GOOD])).warnings
    assert [(text.split(";")[0], count) for text, count in warnings.items()] == [
        ("videos are copies of another by YouTube id or address", 1),
        ("videos have the file name of another video", 1),
    ]


def test_json_is_the_counts_alone(bad, capsys):
    assert main(["check", str(bad), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == check_database(bad).to_dict()


def test_a_sound_database(corpus, capsys):
    assert main(["check", str(corpus)]) == 0
    assert " 0 left out" in capsys.readouterr().out


def test_errors_are_one_line(tmp_path):
    (tmp_path / "not.db").write_bytes(b"something else" * 100)
    for path in (tmp_path / "nowhere", tmp_path / "not.db", tmp_path / "a\nb"):
        command = [sys.executable, "-m", "surglavi_hf.cli", "check", str(path)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 1 and result.stdout == "" and result.stderr.count("\n") == 1
        assert result.stderr.startswith("surglavi check: error: ") and path.name.replace("\n", " ") in result.stderr
