# SPDX-License-Identifier: Apache-2.0
import os
import sqlite3
import subprocess
import sys

import pytest

from surglavi_hf.cli import main
from surglavi_hf.data.tree import caption_trees

from .reference import write_database


def caption(caption_id, level_id, start, end, text, video_id=1):
    times = {"start_time": start, "end_time": end, "duration": end - start}
    return {"caption_id": caption_id, "video_id": video_id, "level_id": level_id, "caption": text} | times


@pytest.fixture
def folder(tmp_path):
    captions = [
        caption(1, 1, 3700, 3702, "late task"),
        caption(2, 3, 0, 90, "the phase"),
        caption(3, 2, 0, 45, "the step"),
        caption(4, 1, 2, 4, "first\x1b[31m task [bold]"),
        caption(5, 1, 10, 14, "second task"),
        caption(6, 1, 1, 2, "of the alias", video_id=2),
    ]
    videos = [{"video_id": index, "name": f"v{index}", "youtube_id": "y", "title": "T"} for index in (1, 2)]
    write_database(tmp_path / "surglavi_beta.db", videos=videos, captions=captions)
    return tmp_path


@pytest.mark.parametrize("video", ["v1", "1"])
def test_nesting_and_order(folder, video):
    (roots,) = caption_trees(video, folder)
    assert [node.row["caption_id"] for node in roots] == [2, 1]
    (step,) = roots[0].children
    assert step.row["caption_id"] == 3 and [node.row["caption_id"] for node in step.children] == [4, 5]


def test_all_videos_of_a_youtube_id(folder):
    assert [roots[0].row["video_name"] for roots in caption_trees("y", folder)] == ["v1", "v2"]


def test_a_video_by_its_address_and_its_copies_however_written(folder):
    connection = sqlite3.connect(folder / "surglavi_beta.db")
    connection.execute("UPDATE videos SET youtube_id = 'dQw4w9WgXcQ ' WHERE video_id = 1")
    connection.execute("UPDATE videos SET youtube_id = NULL, url = 'youtu.be/dQw4w9WgXcQ' WHERE video_id = 2")
    connection.commit()
    connection.close()
    for video in ("dQw4w9WgXcQ", "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=3s", " dQw4w9WgXcQ\u200b"):
        trees = caption_trees(video, folder)
        assert [roots[0].row["video_name"] for roots in trees] == ["v1", "v2"]
        assert {roots[0].row["youtube_id"] for roots in trees} == {"dQw4w9WgXcQ"}


def test_no_such_video(folder, capsys):
    assert main(["tree", "nothing", "--data_dir", str(folder)]) == 1
    assert capsys.readouterr().err == (
        "surglavi tree: error: no caption of a video 'nothing', expected its name, YouTube id, address or video_id\n"
    )


def test_an_id_that_starts_with_a_dash(folder, capsys):
    """Like one in sixty on YouTube."""
    connection = sqlite3.connect(folder / "surglavi_beta.db")
    connection.execute("UPDATE videos SET youtube_id = '-9uZldT-tSk' WHERE video_id = 1")
    connection.commit()
    connection.close()
    for arguments in (["-9uZldT-tSk", "--data_dir", str(folder)], ["--data_dir", str(folder), "-9uZldT-tSk"]):
        assert main(["tree", *arguments]) == 0
        assert capsys.readouterr().out.startswith("v1 · T · -9uZldT-tSk")


def test_a_terminal_without_unicode(folder):
    command = [sys.executable, "-m", "surglavi_hf.cli", "tree", "v1", "--data_dir", str(folder)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "") and "the phase" in result.stdout


def test_an_argument_that_is_not_text(folder, capsys):
    assert main(["tree", "\udcff", "--data_dir", str(folder)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
