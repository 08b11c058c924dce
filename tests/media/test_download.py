# SPDX-License-Identifier: Apache-2.0
import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from yt_dlp.extractor.youtube import YoutubeIE
from yt_dlp.utils import ExtractorError

from surglavi_hf.media import (
    Attempt,
    DownloadOptions,
    Manifest,
    VideoLibrary,
    VideoSource,
    download_videos,
    plan_downloads,
)
from surglavi_hf.media.download import YOUTUBE_PACE_S, _Pace

from .test_reasons import SAID

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
    assert summary.exit_status == 3 and "3 × rate-limited in a row" in summary.stopped and "--sleep" in summary.stopped
    assert summary.counts == {None: 5, "rate-limited": 3, "ok": 2} and len(summary.attempts) == 5
    summary = run(library, pages[:10])
    assert summary.exit_status == 0 and summary.counts == {"ok": 10} and not summary.missing


def answer(monkeypatch, message, *warnings):
    """Has YouTube's extractor answer every video with one message, as yt-dlp hands it on."""

    def fail(extractor, url):
        for warning in warnings:
            extractor.report_warning(warning)
        raise ExtractorError(message, expected=True)

    monkeypatch.setattr(YoutubeIE, "_real_extract", fail)


def check_sixty(library, subject, summary):
    """Whether sixty videos that one message answered are booked as it speaks of them, of the account or the like."""
    sources = [VideoSource(f"v{number}", f"{number:011d}") for number in range(60)]
    again = {source.name for source in plan_downloads(library, sources).todo}
    if subject == "video":
        assert len(summary.attempts) == 60 and summary.stopped is None and summary.exit_status == 1
        assert {attempt.status for attempt in summary.attempts} == {summary.attempts[0].status}
        assert again == (set() if summary.attempts[0].status != "later" else {source.name for source in sources})
    else:
        assert len(summary.attempts) == {"account": 3, "client": 5, "unknown": 5, "network": 10}[subject]
        assert summary.exit_status == 3 and "in a row" in summary.stopped and "run again" in summary.stopped
        assert len(again) == 60, "booked against a video"


def sixty(library, sleep=0.0, **options):
    sources = [VideoSource(f"v{number}", f"{number:011d}") for number in range(60)]
    quick = DownloadOptions(ytdlp_arguments=("--use-extractors", "youtube"))  # of 1,700
    return download_videos(library, plan_downloads(library, sources), quick, 1, sleep, **options)


ACCOUNT = ("rate-limited", "bot-check", "sign-in")


@pytest.mark.parametrize("status", SAID)
def test_every_video_answered_alike(library, monkeypatch, status):
    """By a video in its own right, or by a broken client, a blocked account and the like."""
    answer(monkeypatch, SAID[status][0])
    summary = sixty(library)
    assert summary.attempts[0].status == status
    subject = "account" if status in ACCOUNT else status if status in ("client", "network", "unknown") else "video"
    check_sixty(library, subject, summary)


def test_messages_that_people_met_over_sixty_videos(tmp_path, monkeypatch, shared):
    with (shared / "cases" / "youtube_messages.tsv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    for number, (speaks_of, message, _) in enumerate(rows):
        answer(monkeypatch, message)
        library = VideoLibrary(tmp_path / str(number))
        check_sixty(library, speaks_of.split(",")[0], sixty(library))


def test_a_client_that_fails_between_videos_that_are_gone(library, monkeypatch):
    """What is said of a video does not show that the client works."""

    def fail(extractor, url):
        gone = int(url[-11:]) % 2
        raise ExtractorError("Video unavailable" if gone else "This video is DRM protected", expected=True)

    monkeypatch.setattr(YoutubeIE, "_real_extract", fail)
    summary = sixty(library)
    assert summary.counts == {None: 51, "client": 5, "gone": 4} and "5 × client in a row" in summary.stopped


def test_warnings_are_kept(library, monkeypatch):
    invalid = "The provided YouTube account cookies are no longer valid. They have likely been rotated"
    answer(monkeypatch, "Requested format is not available", "n challenge solving failed", invalid)
    assert "3 × sign-in in a row" in sixty(library).stopped
    (first, *_) = Manifest(library.manifest_path)
    assert all(any(said in kept for kept in first.warnings) for said in ("n challenge solving failed", invalid))


def test_a_manifest_burnt_before(library, monkeypatch):
    """What a broken client was once booked as against the videos is asked again where that is wanted."""
    sources = [VideoSource(f"v{number}", f"{number:011d}") for number in range(60)]
    for number, source in enumerate(sources):
        fail(library, source.name, "format" if number % 2 else "gone")
    assert plan_downloads(library, sources).todo == []
    plan = plan_downloads(library, sources, retry_statuses=("format", "gone"))
    assert len(plan.todo) == 60
    answer(monkeypatch, "Requested format is not available")
    assert "client" in download_videos(library, plan, sleep=0).stopped
    assert len(plan_downloads(library, sources).todo) == 5, "those that were asked are the client's now"


def test_wait_and_go_on(library, pages, web):
    for number in (2, 3, 4):
        web.faults[f"/{number}.mp4"] = [429, None]
    plan = plan_downloads(library, pages[:10])
    started = time.monotonic()
    summary = download_videos(library, plan, DownloadOptions(ytdlp_arguments=QUICK), wait=0.5)
    assert time.monotonic() - started > 0.5
    assert summary.exit_status == 0 and summary.counts == {"ok": 10} and len(summary.attempts) == 13


def test_waiting_in_vain_ends(library, monkeypatch):
    answer(monkeypatch, "Sign in to confirm you're not a bot.")
    summary = sixty(library, wait=0.01)
    assert "bot-check in a row" in summary.stopped and len(summary.attempts) == 3 * 6 and summary.exit_status == 3
    answer(monkeypatch, "This video is DRM protected")
    assert len(sixty(library, wait=60).attempts) == 5, "waiting mends no client"


def test_pace(library, pages, monkeypatch):
    """Of all workers together; by default that of a guest of YouTube."""
    plan = plan_downloads(library, pages[:4])
    started = time.monotonic()
    download_videos(library, plan, DownloadOptions(ytdlp_arguments=QUICK), num_workers=4, sleep=0.4)
    assert time.monotonic() - started > 3 * 0.4
    waits = []
    monkeypatch.setattr(threading.Event, "wait", lambda event, seconds=None: waits.append(seconds) and False)
    pace = _Pace(None)
    for source in (VideoSource("v", "AAAAAAAAAAA"), VideoSource("w", "BBBBBBBBBBB"), pages[0]):
        pace.wait(source, threading.Event())
    assert waits[0] <= 0 and 14 < waits[1] <= YOUTUBE_PACE_S == 15 and len(waits) == 2
    assert 3600 / YOUTUBE_PACE_S < 300


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
    assert process.returncode == 3 and "run again to go on" in output


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
    assert summary.exit_status == 3 and "make room" in summary.stopped
    assert not Manifest(library.manifest_path).by_video(), "a full disk says nothing of the videos"


def fail(library, name, *statuses, source="x", seconds=None):
    for status in statuses:
        attempt = Attempt("2026-01-01T00:00:00+00:00", name, source, status, seconds=seconds)
        Manifest(library.manifest_path).append(attempt)


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
    for status in ("client", "unknown", "later"):
        fail(library, status, *[status] * 5)
    names = ["there", "new", "deleted", "limited", "checked", "once", "often", "found"]
    names += ["gone", "private", "age", "region", "format", "client", "unknown", "later", "../x"]
    sources = [VideoSource(name, "-9uZldT-tSk") for name in names]
    plan = plan_downloads(library, [*sources, VideoSource("new", "AAAAAAAAAAA")])
    again = ["new", "deleted", "once", "checked", "found", "often", "limited", "client", "unknown", "later"]
    assert [source.name for source in plan.todo] == again, "those that failed least do not come first"
    assert plan.todo[0].youtube_id == "-9uZldT-tSk"
    assert plan.statuses == {
        **{status: status for status in names[8:16]},
        **{"there": "ok", "new": None, "deleted": None, "limited": "rate-limited", "checked": "bot-check"},
        **{"once": "network", "often": "network", "found": "network", "../x": "format"},
    }
    everything = plan_downloads(library, sources, retry_failed=True)
    assert {source.name for source in everything.todo} == set(names[1:-1])
    some = plan_downloads(library, sources, retry_statuses=("format", "gone"))
    assert {source.name for source in some.todo} == {*again, "format", "gone"}
    limited = plan_downloads(library, sources, limit=2)
    assert [source.name for source in limited.todo] == again[:2] and limited.left_out == frozenset(again[2:])
    assert limited.statuses == plan.statuses
    assert [source.name for source in plan.unnoted] == ["there"]


def test_what_counts_against_a_video(library):
    """Of what may pass only what failed while others came down: three of them, and a video is given up."""
    sources = [VideoSource("v", "AAAAAAAAAAA"), VideoSource("w", "BBBBBBBBBBB")]

    def is_open():
        return "v" in {source.name for source in plan_downloads(library, sources).todo}

    for status, place in (("client", "AAAAAAAAAAA"), ("network", "AAAAAAAAAAA"), ("unknown", "AAAAAAAAAAA")):
        for _ in range(3):
            assert is_open()
            fail(library, "v", status, source=place)
            assert is_open(), "counted although nothing came down"
            fail(library, "elsewhere", "ok", source="https://vimeo.com/1", seconds=1.0)
            fail(library, "adopted", "ok", source="BBBBBBBBBBB")
            assert is_open() or status == "network"
            fail(library, "w", "ok", source="BBBBBBBBBBB", seconds=1.0)
        assert not is_open(), status
        library.manifest_path.unlink()
    fail(library, "v", "truncated", "truncated")
    assert is_open()
    fail(library, "v", "truncated")
    assert not is_open()


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
    found = attempts["video1"][0]
    assert (found.message, found.format, found.seconds) == ("was there already", "h264 64x64", None)
    assert found.size == library.video_path("video1").stat().st_size and found.duration == pytest.approx(2.9, abs=0.1)


def test_what_is_there_but_is_no_video(library, pages, web, capsys):
    """Put there by hand, or linked unseen by an `adopt` of before: it is not booked as ok."""
    contents = (b"version https://git-lfs.github.com/spec/v1", b"", web.pages["/0.mp4"])
    for number, content in enumerate(contents):
        path = library.video_path(f"video{number}")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    fail(library, "video0", "ok")  # without format, as it was noted then
    for _ in range(2):
        summary = run(library, pages[:3])
        assert summary.counts == {"truncated": 2, "ok": 1} and summary.exit_status == 1
    assert "video0: truncated: " in capsys.readouterr().out
    assert [one.name for one in Manifest(library.manifest_path)] == ["video0", "video2"]
    assert library.video_path("video0").read_bytes() == contents[0], "what is there is never deleted"


def test_limit(library, pages):
    """What it leaves out is not missing from this run."""
    summary = run(library, pages[:4], limit=3)
    assert summary.exit_status == 0 and summary.left_out == {"video3"} and summary.missing == ["video3"]
    assert run(library, pages[:4], limit=3).exit_status == 0 and len(library.downloaded_names()) == 4


def test_no_network_ends_the_run(library, pages):
    sources = [VideoSource(source.name, None, "http://127.0.0.1:9/v.mp4") for source in pages]
    summary = run(library, sources)
    assert summary.exit_status == 3 and "10 × network in a row" in summary.stopped and len(summary.attempts) == 10


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
    for arguments in ({"num_workers": 0}, {"sleep": -1}, {"sleep": float("nan")}, {"sleep": 1e300}, {"wait": 0}):
        with pytest.raises(ValueError, match=re.escape(next(iter(arguments)))):
            download_videos(library, plan, **arguments)


def test_nothing_to_do(library):
    summary = download_videos(library, plan_downloads(library, []))
    assert summary.exit_status == 0 and summary.counts == {} and not os.path.exists(library.root)
