# SPDX-License-Identifier: Apache-2.0
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from surglavi_hf.media import (
    Attempt,
    DownloadOptions,
    Manifest,
    VideoLibrary,
    VideoSource,
    download_videos,
    plan_downloads,
)

TIMES = [index / 10 for index in range(30)]
QUICK = ("--socket-timeout", "1", "--retries", "0")


@pytest.fixture
def library(tmp_path):
    return VideoLibrary(tmp_path / "library")


@pytest.fixture
def pages(web, tmp_path, write_video):
    """Thirty videos on the web."""
    content = write_video(tmp_path / "v.mp4", TIMES).read_bytes()
    sources = []
    for number in range(30):
        web.pages[f"/{number}.mp4"] = content
        sources.append(VideoSource(f"video{number}", None, f"{web.address}/{number}.mp4", 2.9))
    return sources


def run(library, sources, num_workers=1, **plan):
    options = DownloadOptions(ytdlp_arguments=QUICK)
    return download_videos(library, plan_downloads(library, sources, **plan), options, num_workers)


def start(library, web, arguments=()):
    """Starts a process that downloads the thirty videos."""
    script = library.root.parent / "run.py"
    script.write_text(
        f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job inherits as ignored
from surglavi_hf.media import *
from surglavi_hf.media import DownloadOptions, download_videos, plan_downloads
sources = [VideoSource(f"video{{n}}", None, f"{web.address}/{{n}}.mp4", 2.9) for n in range(30)]
library = VideoLibrary({str(library.root)!r})
options = DownloadOptions(ytdlp_arguments={QUICK!r})
summary = download_videos(library, plan_downloads(library, sources), options, num_workers=2)
print(summary.stopped)
raise SystemExit(summary.exit_status)
"""
    )
    return subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_thirty_videos_through_thick_and_thin(library, pages, web):
    """404s, 429s, truncated bodies, stalled connections, and a kill in the middle."""
    web.faults |= {
        **{f"/{number}.mp4": [404] for number in (3, 17)},
        **{f"/{number}.mp4": [429, None] for number in (5, 11)},
        **{f"/{number}.mp4": ["cut", None] for number in (2, 21)},
        **{f"/{number}.mp4": ["stall", None] for number in (8, 26)},
        "/29.mp4": [500],
    }
    web.delay = 0.02
    process = start(library, web)
    wait_for(lambda: len(library.downloaded_names()) >= 6)
    process.kill()
    process.communicate()
    before = library.downloaded_names()
    assert 6 <= len(before) < 27
    web.delay = 0
    content = web.pages["/0.mp4"]
    for _ in range(2):
        requests = web.requests.copy()
        summary = run(library, pages, num_workers=2)
        again = {path for path, count in web.requests.items() if count > requests[path]}
        assert not again & {f"/{name[5:]}.mp4" for name in before}, "what was there was downloaded again"
        before = library.downloaded_names()
    missing = {"video3", "video17", "video29"}
    assert set(library.downloaded_names()) == {source.name for source in pages} - missing == set(before)
    assert all(library.video_path(name).read_bytes() == content for name in before)
    assert {name: summary.statuses[name] for name in missing} == {
        **{"video3": "gone", "video17": "gone"},
        "video29": "network",
    }
    assert summary.exit_status == 1 and summary.counts == {"ok": 27, "gone": 2, "network": 1}
    attempts = Manifest(library.manifest_path).by_video()
    assert {name for name, tried in attempts.items() if tried[-1].status != "ok"} == missing
    assert [one.status for one in attempts["video3"]] == ["gone"]
    assert sum(one.status == "ok" for tried in attempts.values() for one in tried) >= 26  # one may die with its line
    assert all(sum(one.status == "ok" for one in tried) <= 1 for tried in attempts.values())


def test_three_rate_limits_in_a_row_stop_the_run(library, pages, web):
    for number in (2, 3, 4):
        web.faults[f"/{number}.mp4"] = [429, None]
    summary = run(library, pages[:10])
    assert summary.exit_status == 2 and "3 × rate-limited in a row" in summary.stopped and "--sleep" in summary.stopped
    assert summary.counts == {None: 5, "rate-limited": 3, "ok": 2} and len(summary.attempts) == 5
    summary = run(library, pages[:10])
    assert summary.exit_status == 0 and summary.counts == {"ok": 10} and not summary.missing


def test_rate_limits_apart_do_not(library, pages, web):
    for number in (1, 2, 4, 5):
        web.faults[f"/{number}.mp4"] = [429]
    summary = run(library, pages[:7])
    assert summary.stopped is None and summary.counts == {"rate-limited": 4, "ok": 3} and summary.exit_status == 1


def test_stopped_by_hand(library, pages, web):
    web.delay = 0.05
    process = start(library, web)
    wait_for(lambda: len(library.downloaded_names()) >= 2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 2 and "run again to go on" in output


def test_nothing_half_is_in_place_at_any_kill(library, pages, web):
    web.delay = 0.01
    content = web.pages["/0.mp4"]
    for wait in (0.1, 0.4):
        process = start(library, web)
        there = len(library.downloaded_names())
        wait_for(lambda there=there: len(library.downloaded_names()) > there)
        time.sleep(wait)
        process.kill()
        process.communicate()
        assert all(library.video_path(name).read_bytes() == content for name in library.downloaded_names())
    assert run(library, pages).exit_status == 0


def test_two_runs_at_once(library, pages):
    with library.lock("download"), pytest.raises(BlockingIOError, match="surglavi download"):
        run(library, pages[:1])
    options = DownloadOptions(ytdlp_arguments=QUICK)
    with library.lock("download"):  # shards lock apart
        assert download_videos(library, plan_downloads(library, pages[:1]), options, lock="download-1-of-2").statuses


def test_no_space(library, pages, monkeypatch):
    def full(path, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("surglavi_hf.media.fetch.probe_video", full)
    summary = run(library, pages[:3])
    assert summary.exit_status == 2 and "make room" in summary.stopped
    assert not Manifest(library.manifest_path).by_video(), "a full disk says nothing of the videos"


def fail(library, name, *statuses):
    for status in statuses:
        Manifest(library.manifest_path).append(Attempt("2026-01-01T00:00:00+00:00", name, "x", status))


def test_what_is_tried_again(library):
    library.video_path("there").parent.mkdir(parents=True)
    library.video_path("there").touch()
    fail(library, "deleted", "ok")
    fail(library, "limited", *["rate-limited"] * 5)
    fail(library, "checked", "gone", "bot-check")
    fail(library, "once", "network")
    fail(library, "often", "network", "truncated", "network")
    fail(library, "found", "network", "network", "ok")
    for status in ("gone", "private", "age", "region", "format"):
        fail(library, status, status)
    names = ["there", "new", "deleted", "limited", "checked", "once", "often", "found"]
    names += ["gone", "private", "age", "region", "format", "../x"]
    sources = [VideoSource(name, "-9uZldT-tSk") for name in names]
    plan = plan_downloads(library, [*sources, VideoSource("new", "AAAAAAAAAAA")])
    again = ["new", "deleted", "limited", "checked", "once", "found"]
    assert [source.name for source in plan.todo] == again and plan.todo[0].youtube_id == "-9uZldT-tSk"
    assert plan.statuses == {
        **dict.fromkeys(names[8:13], "gone"),
        **{status: status for status in ("gone", "private", "age", "region", "format")},
        **{"there": "ok", "new": None, "deleted": None, "limited": "rate-limited", "checked": "bot-check"},
        **{"once": "network", "often": "network", "found": "network", "../x": "format"},
    }
    everything = plan_downloads(library, sources, retry_failed=True)
    assert [source.name for source in everything.todo] == names[1:-1]
    limited = plan_downloads(library, sources, limit=2)
    assert [source.name for source in limited.todo] == again[:2] and limited.left_out == frozenset(again[2:])
    assert limited.statuses == plan.statuses
    assert [source.name for source in plan.unnoted] == ["there"]


def test_what_is_there_without_a_line_gets_one(library, pages):
    """As adopted videos, and one that was put in its place just before a kill."""
    run(library, pages[:2])
    lines = library.manifest_path.read_text().splitlines()
    library.manifest_path.write_text(lines[0] + "\n")
    assert run(library, pages[:2]).exit_status == 0
    attempts = Manifest(library.manifest_path).by_video()
    assert {name: [one.status for one in tried] for name, tried in attempts.items()} == {
        **{"video0": ["ok"], "video1": ["ok"]}
    }
    assert attempts["video1"][0].message == "was there already"


def test_limit(library, pages):
    """What it leaves out is not missing from this run."""
    summary = run(library, pages[:4], limit=3)
    assert summary.exit_status == 0 and summary.left_out == {"video3"} and summary.missing == ["video3"]
    assert run(library, pages[:4], limit=3).exit_status == 0 and len(library.downloaded_names()) == 4


def test_no_network_ends_the_run(library, pages):
    sources = [VideoSource(source.name, None, "http://127.0.0.1:9/v.mp4") for source in pages]
    summary = run(library, sources)
    assert summary.exit_status == 2 and "10 × network in a row" in summary.stopped and len(summary.attempts) == 10


def test_what_ends_with_the_breaker_is_noted(library, pages, web):
    """Videos that other workers were at are in place and in the manifest, or neither."""
    web.delay = 0.05
    for number in range(0, 30, 2):
        web.faults[f"/{number}.mp4"] = [429]
    for _ in range(3):
        run(library, pages, num_workers=8)
        noted = Manifest(library.manifest_path).by_video()
        assert {name for name, tried in noted.items() if tried[-1].status == "ok"} == set(library.downloaded_names())


def test_runs_that_overlap(library, pages, web):
    """Two shardings that do not fit each other, say: a video is downloaded by one of them at a time."""
    web.delay = 0.02
    options = DownloadOptions(ytdlp_arguments=QUICK)

    def work(lock):
        plan = plan_downloads(library, pages[:12])
        return download_videos(library, plan, options, num_workers=2, lock=lock)

    with ThreadPoolExecutor(2) as pool:
        summaries = list(pool.map(work, ["download-1-of-1", "download-1-of-2"]))
    assert len(library.downloaded_names()) == 12
    assert {attempt.status for summary in summaries for attempt in summary.attempts} == {"ok"}
    assert os.listdir(library.root / "partial") == []


def test_arguments(library, pages):
    plan = plan_downloads(library, pages)
    for arguments in ({"num_workers": 0}, {"sleep": -1}, {"sleep": float("nan")}, {"sleep": 1e300}):
        with pytest.raises(ValueError, match=re.escape(next(iter(arguments)))):
            download_videos(library, plan, **arguments)


def test_nothing_to_do(library):
    summary = download_videos(library, plan_downloads(library, []))
    assert summary.exit_status == 0 and summary.counts == {} and not os.path.exists(library.root)
