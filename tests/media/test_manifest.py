# SPDX-License-Identifier: Apache-2.0
import json
import multiprocessing

import pytest

from surglavi_hf.media import Attempt, Manifest
from surglavi_hf.media.manifest import failure_status, without_secrets


def attempt(name="v", status="ok", **values):
    return Attempt("2026-01-01T00:00:00+00:00", name, "-9uZldT-tSk", status, **values)


def test_one_line_an_attempt(tmp_path):
    manifest = Manifest(tmp_path / "new" / "downloads.jsonl")
    attempts = [attempt(), attempt(status="gone", message="a\nb é \udce9"), attempt("w", size=3, duration=1.5)]
    assert list(manifest) == []
    for one in attempts:
        manifest.append(one)
    lines = manifest.path.read_text().splitlines()
    assert len(lines) == 3 and json.loads(lines[2])["size"] == 3
    assert list(manifest)[::2] == attempts[::2]
    assert {name: len(tried) for name, tried in manifest.by_video().items()} == {"v": 2, "w": 1}


def test_a_line_that_was_cut_short(tmp_path, caplog):
    """By a crash, say: it is skipped, and what follows is not lost."""
    manifest = Manifest(tmp_path / "downloads.jsonl")
    manifest.append(attempt("a"))
    with manifest.path.open("ab") as file:
        file.write(b'{"time": "2026", "na')
    manifest.append(attempt("b"))
    with manifest.path.open("ab") as file:
        file.write(b'null\n[]\n{}\n\xff\n{"name": 3}\n' + b"[" * 100_000 + b"\n")
        for wrong in ({"name": ["a"]}, {"status": ["x"]}, {"status": "[/bold]"}, {"size": "big"}, {"duration": {}}):
            file.write(json.dumps(vars(attempt()) | wrong).encode() + b"\n")
    assert [one.name for one in manifest] == ["a", "b"]
    assert len(caplog.records) == 12 and "line 2 is no attempt" in caplog.records[0].getMessage()


def append_many(path, name):
    for _ in range(50):
        Manifest(path).append(attempt(name, message="x" * 300))


def test_several_processes(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append_many, args=(tmp_path / "m.jsonl", name)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {name: len(tried) for name, tried in Manifest(tmp_path / "m.jsonl").by_video().items()} == dict.fromkeys(
        "abcd", 50
    )


# As yt-dlp and YouTube say it.
@pytest.mark.parametrize(
    "status, message",
    [
        (
            "rate-limited",
            "Video unavailable. This content isn’t available, try again later.",
        ),
        ("rate-limited", "The current session has been rate-limited by YouTube for up to an hour."),
        ("rate-limited", "Unable to download webpage: HTTP Error 429: Too Many Requests"),
        ("bot-check", "Sign in to confirm you’re not a bot. Use --cookies-from-browser or --cookies"),
        ("bot-check", "Sign in to confirm you're not a bot."),
        ("bot-check", "unable to download video data: HTTP Error 403: Forbidden"),
        ("age", "Sign in to confirm your age. This video may be inappropriate for some users."),
        ("private", "Private video. Sign in if you've been granted access to this video"),
        ("private", "Join this channel to get access to members-only content like this video"),
        ("region", "Video unavailable. The uploader has not made this video available in your country"),
        ("region", "This video is not available from your location due to geo restriction"),
        ("gone", "Video unavailable"),
        ("gone", "Video unavailable. This video has been removed by the uploader"),
        ("gone", "This video is no longer available because the YouTube account has been terminated."),
        ("gone", "Unable to download webpage: HTTP Error 404: Not Found"),
        ("gone", "HTTP Error 410: Gone"),
        ("format", "Requested format is not available. Use --list-formats for a list of available formats"),
        ("format", "No video formats found!"),
        ("format", "Unsupported URL: https://example.org/"),
        ("truncated", "46218 bytes read, 46218 more expected. Giving up after 3 retries"),
        ("truncated", "Downloaded 100 bytes, expected 200 bytes"),
        ("network", "Unable to download webpage: The read operation timed out"),
        ("network", "HTTP Error 500: Internal Server Error"),
        ("network", "<urlopen error [Errno -3] Temporary failure in name resolution>"),
        ("network", "HTTP Error 503: Service Unavailable"),
        ("network", "<urlopen error [Errno 11] Resource temporarily unavailable>"),
        ("network", "Failed to resolve 'drmartin.org'"),
        ("network", "Unable to connect to proxy"),
        ("region", "HTTP Error 451: Unavailable For Legal Reasons"),
        ("format", "This video is DRM protected"),
        ("network", "something new"),
    ],
)
def test_failure_status(status, message):
    assert failure_status(f"ERROR: [youtube] -9uZldT-tSk: {message}") == status


def test_forbidden_elsewhere_is_private():
    assert failure_status("HTTP Error 403: Forbidden", youtube=False) == "private"


def test_secrets():
    text = (
        "\x1b[31mERROR:\x1b[0m via http://me:word@proxy:3128/\nGET https://r1.googlevideo.com/v?sig=abc&ip=1.2.3.4 'x'"
    )
    assert without_secrets(text) == "ERROR: via http://proxy:3128/ GET https://r1.googlevideo.com/v 'x'"
    assert without_secrets("[generic] 404?Signature=abc: Not Found") == "[generic] 404 Not Found"
    assert without_secrets("at http://me:p@ss@host/x") == "at http://host/x"
    said = without_secrets("no me:word, nor word, nor key=9", "http://me:word@proxy:1", "https://host/v?key=9")
    assert "word" not in said and "key=9" not in said
    assert len(without_secrets("x" * 9999)) == 500
