# SPDX-License-Identifier: Apache-2.0
import hashlib

import av
import pytest

from surglavi_hf.media import DownloadOptions, VideoLibrary, VideoSource, decode_frames
from surglavi_hf.media.fetch import Fetcher, OutOfSpaceError

from ..conftest import shown

TIMES = [index / 10 for index in range(30)]
COOKIES = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tsecret\tword\n"


@pytest.fixture
def library(tmp_path):
    return VideoLibrary(tmp_path / "library")


@pytest.fixture
def page(web, tmp_path, write_video):
    web.pages["/v.mp4"] = write_video(tmp_path / "v.mp4", TIMES).read_bytes()
    return f"{web.address}/v.mp4"


def fetcher(library, *arguments, cookies=None, stopped=lambda: False):
    options = DownloadOptions(ytdlp_arguments=("--socket-timeout", "1", "--retries", "0", *arguments))
    return Fetcher(library, options, cookies, stopped, lambda num_bytes: None)


def test_a_video(library, page, web):
    attempt = fetcher(library).fetch(VideoSource("$HOME %(id)s ~", None, page, 2.9))
    path = library.video_path("$HOME %(id)s ~")
    assert path.read_bytes() == web.pages["/v.mp4"]
    assert (attempt.status, attempt.message, attempt.size) == ("ok", "", path.stat().st_size)
    assert attempt.format == "mp4 h264 64x64" and attempt.duration == pytest.approx(2.9, abs=0.1)
    assert attempt.name == "$HOME %(id)s ~" and attempt.source == page and attempt.yt_dlp[:2] == "20"
    assert list((library.root / "partial").iterdir()) == []


@pytest.mark.parametrize(
    "fault, status", [(404, "gone"), (429, "rate-limited"), (403, "private"), (500, "network"), ("stall", "network")]
)
def test_what_goes_wrong(library, page, web, fault, status):
    web.faults["/v.mp4"] = [fault]
    attempt = fetcher(library).fetch(VideoSource("v", None, page))
    assert attempt.status == status and attempt.message and "\n" not in attempt.message
    assert library.downloaded_names() == []


def test_a_part_is_taken_up(library, page, web):
    web.faults["/v.mp4"] = ["cut"]
    assert fetcher(library).fetch(VideoSource("v", None, page)).status == "network"
    del web.faults["/v.mp4"]
    assert fetcher(library).fetch(VideoSource("v", None, page)).status == "ok"
    assert library.video_path("v").read_bytes() == web.pages["/v.mp4"]
    assert "bytes=" in "".join(filter(None, web.ranges)), "the second download started anew"


def test_what_a_kill_left_is_of_its_address(library, page, web, tmp_path, write_video, monkeypatch):
    """Even a whole file is not taken for the video where that is elsewhere now, or wanted in another way."""
    with monkeypatch.context() as patch:
        patch.setattr("surglavi_hf.media.fetch.probe_video", lambda *_: 1 / 0)  # stands for the kill
        fetcher(library).fetch(VideoSource("v", None, page))
    assert [path.name for path in library.partial_dir("v").glob("*.mp4")] == ["mp4.mp4"]
    web.pages["/other.mp4"] = write_video(tmp_path / "other.mp4", TIMES[:15]).read_bytes()
    assert fetcher(library).fetch(VideoSource("v", None, f"{web.address}/other.mp4")).status == "ok"
    assert library.video_path("v").read_bytes() == web.pages["/other.mp4"]


def test_a_damaged_note_of_whose_a_part_is_begins_anew(library, page):
    folder = library.partial_dir("v")
    folder.mkdir(parents=True)
    (folder / ".stamp").write_bytes(b"\xff\0")
    assert fetcher(library).fetch(VideoSource("v", None, page)).status == "ok"


def test_a_whole_file_that_a_kill_left_is_taken_up(library, page, web, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("surglavi_hf.media.fetch.probe_video", lambda *_: 1 / 0)
        fetcher(library).fetch(VideoSource("v", None, page))
    bodies = web.requests["/v.mp4"]
    assert fetcher(library).fetch(VideoSource("v", None, page)).status == "ok"
    assert web.requests["/v.mp4"] == bodies + 1, "looked at, not downloaded again"


def test_what_is_not_the_video_goes_to_quarantine(library, page, web):
    attempt = fetcher(library).fetch(VideoSource("v", None, page, 60.0))
    assert attempt.status == "truncated" and "lasts 2.9 s, expected 60.0 s" in attempt.message
    web.pages["/broken.mp4"] = b"\0\0\0\x18ftypmp42" + bytes(999)
    assert fetcher(library).fetch(VideoSource("b", None, f"{web.address}/broken.mp4")).status == "truncated"
    assert library.downloaded_names() == []
    assert library.quarantine_path("v").read_bytes() == web.pages["/v.mp4"]
    assert library.quarantine_path("b").is_file() and list((library.root / "partial").iterdir()) == []


def test_another_container_becomes_an_mp4(library, web, tmp_path, write_video):
    web.pages["/v.mkv"] = write_video(tmp_path / "v.mkv", TIMES).read_bytes()
    assert fetcher(library).fetch(VideoSource("v", None, f"{web.address}/v.mkv", 2.9)).status == "ok"
    assert library.video_path("v").read_bytes()[4:8] == b"ftyp"
    assert shown(decode_frames(library.video_path("v"), TIMES)) == list(range(30))


def test_what_cannot_be_an_mp4_has_the_wrong_format(library, web, tmp_path):
    with av.open(str(tmp_path / "v.webm"), "w") as container:
        stream = container.add_stream("libvpx", rate=5, width=64, height=64, pix_fmt="yuv420p")
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    web.pages["/v.webm"] = (tmp_path / "v.webm").read_bytes()
    attempt = fetcher(library).fetch(VideoSource("v", None, f"{web.address}/v.webm"))
    assert attempt.status == "format" and "cannot be put into an MP4" in attempt.message
    assert list((library.root / "partial").iterdir()) == []


def test_queries_are_not_written_down(library, web):
    attempt = fetcher(library).fetch(VideoSource("v", None, f"{web.address}/404?Signature=hidden"))
    assert attempt.status == "gone" and "hidden" not in repr(attempt)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ytsearch:liver", None])
def test_no_address(library, url):
    attempt = fetcher(library).fetch(VideoSource("v", None, url))
    assert attempt.status == "format" and "is an address" in attempt.message


def test_a_library_that_cannot_be_written_to(tmp_path, page):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutOfSpaceError, match="file cannot be written to"):
        fetcher(VideoLibrary(tmp_path / "file")).fetch(VideoSource("v", None, page))


def test_stopped(library, page):
    assert fetcher(library, stopped=lambda: True).fetch(VideoSource("v", None, page)) is None
    assert library.downloaded_names() == []


def test_cookies_are_sent_and_their_file_is_left_alone(library, page, web, tmp_path, capfd):
    file = tmp_path / "cookies.txt"
    file.write_text(COOKIES + "127.0.0.1\tFALSE\t/\tFALSE\tnever\tbroken\thidden\n")
    before = hashlib.sha256(file.read_bytes()).digest(), file.stat().st_mtime_ns
    options = DownloadOptions(cookies=file)
    one = Fetcher(library, options, options.read_cookies(), lambda: False, lambda num_bytes: None)
    for name in ("a", "b"):
        assert one.fetch(VideoSource(name, None, page)).status == "ok"
    assert web.cookies[0] == "secret=word"
    assert set(web.cookies[-1].split("; ")) == {"secret=word", "seen=1"}, "what the server set was not kept"
    assert (hashlib.sha256(file.read_bytes()).digest(), file.stat().st_mtime_ns) == before
    assert list(tmp_path.glob("cookies*")) == [file]
    output = capfd.readouterr()
    assert "word" not in output.out + output.err and "hidden" not in output.out + output.err
