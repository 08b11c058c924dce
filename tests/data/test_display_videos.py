# SPDX-License-Identifier: Apache-2.0
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from surglavi_hf.data.acquire import DatabaseVideos, DownloadEstimate
from surglavi_hf.data.display_videos import (
    show_adoption,
    show_comparison,
    show_download,
    show_estimate,
    show_frames,
    show_inventory,
)
from surglavi_hf.media import Adoption, Comparison, DownloadSummary, FrameStoreBuild, VideoLibrary, VideoRecord


def text(view):
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(view)
    return console.export_text()


@pytest.fixture
def videos(tmp_path):
    captions = {"a": Counter({3: 1, 2: 2, 1: 1000}), "b": Counter({1: 5})}
    videos = DatabaseVideos(VideoLibrary(tmp_path), [], tmp_path / "surglavi_beta.db")
    videos.__dict__["captions"] = captions  # as if it had been read
    return videos


def test_download(videos):
    shown = text(show_download(DownloadSummary({"a": "ok", "b": "gone", "c": None}), videos))
    assert "1 phase, 2 step, 1,000 task" in shown and "not tried yet" in shown and "gone" in shown
    assert "captions without a video: 0 phase, 0 step, 5 task" in shown and "--retry-failed" in shown
    assert "without a video" not in text(show_download(DownloadSummary({"a": "ok"}), videos))
    assert "wait an hour" in text(show_download(DownloadSummary({"b": None}, stopped="wait an hour"), videos))


def test_estimate():
    estimate = DownloadEstimate(1000, 2, 150.25, 90e9, 0, {"phase": 1, "step": 2, "task": 3}, 3.33, 80 * 10**9)
    shown = text(show_estimate(estimate))
    assert "only 80.0 GB: make room first" in shown
    assert "make room" not in text(show_estimate(replace(estimate, free=100 * 10**9)))
    for part in (
        "1,000 (2 there already)",
        "150.2",
        "about 90.0 GB",
        "supposed from",
        "3.3",
        "1 phase, 2 step, 3 task",
    ):
        assert part in shown


def test_adoption():
    adoption = Adoption({"a": Path("/x/a.mp4")}, missing=["b", "c", "d", "e\x1b[31m"], unknown=[Path("/x/z.mp4")])
    shown = text(show_adoption(adoption))
    assert "b, c, d and 1 more" in shown and "z.mp4" in shown and "\x1b" not in shown


def test_adoption_says_why_and_what():
    path = Path("/x/a\x1b[31m.mp4")
    shown = text(show_adoption(Adoption(unknown=[Path("/x/z.mp4")], skipped={path: "is a Git LFS pointer"})))
    assert "/x/a�[31m.mp4: is a Git LFS pointer" in shown and "of no video: /x/z.mp4" in shown


def test_inventory_and_comparison():
    here, there = (VideoRecord("a", None, size, "0" * 32, 1.5, "h264 64x64") for size in (1000, 2000))
    broken = VideoRecord("b\x1b", None, 5, "1" * 32, None, None)
    shown = text(show_inventory([here, broken], Path("/x/list.jsonl")))
    assert "/x/list.jsonl: 2 videos" in shown and "1 cannot be read: b�" in shown
    shown = text(show_comparison(Comparison(["s"], [(here, there)], [(here, broken)], [here], [broken]))).splitlines()
    assert shown == [
        "< a: h264 64x64, 1.5 s, 1,000 bytes",
        "> b�: unreadable, unknown duration, 5 bytes",
        "~ a: h264 64x64, 1.5 s, 1,000 bytes | b�: unreadable, unknown duration, 5 bytes",
        "! a: h264 64x64, 1.5 s, 1,000 bytes | a: h264 64x64, 1.5 s, 2,000 bytes",
        "1 the same, 1 only here (<), 1 only there (>), 1 under another name (~), 1 with other content (!)",
    ]


def test_frames():
    shown = text(show_frames(FrameStoreBuild({"a": 1200}, ["b"], {"c": "broken"})))
    assert "1 frame stores written with 1,200 frames, 1 up to date, 1 failed" in shown and "failed: c" in shown
