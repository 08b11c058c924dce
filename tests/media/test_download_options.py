# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.media import DownloadOptions


def test_options():
    options = DownloadOptions(max_height=480, proxy="http://me:word@proxy", ytdlp_arguments=("--limit-rate", "1M"))
    assert "word" not in repr(options)
    passed = options.ytdlp_options()
    assert passed["retries"] == 3 and passed["playlist_items"] == "1"
    for given, value in (("10", 10), ("0", 0)):  # yt-dlp's default, too, replaces ours
        assert DownloadOptions(ytdlp_arguments=("--retries", given)).ytdlp_options()["retries"] == value
    assert passed["ratelimit"] == 2**20 and passed["proxy"] == "http://me:word@proxy"
    assert passed["format"] == "bv/b" and passed["format_sort"][:2] == ["vcodec:h264", "res:480"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("-o", "elsewhere.mp4"), "outtmpl"),
        (("--exec", "rm -rf /"), "postprocessors"),
        (("--paths", "elsewhere"), "paths"),
        (("--simulate",), "simulate"),
        (("-F",), "listformats"),
        (("--match-filters", "duration<1"), "match_filter"),
        (("--max-filesize", "1k"), "max_filesize"),
        (("--netrc-cmd", "ls"), "netrc_cmd"),
        (("--download-sections", "*0-1"), "download_ranges"),
        (("--cookies", "c.txt"), "cookiefile"),
        (("--download-archive", "a"), "download_archive"),
        (("--no-such-option",), "no-such-option"),
        (("https://youtu.be/x",), "is no option"),
        (("--retries", "many"), "many"),
    ],
)
def test_options_that_are_not_passed_on(arguments, message):
    with pytest.raises(ValueError, match=message):
        DownloadOptions(ytdlp_arguments=arguments)


def test_options_out_of_range(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="max_height=0"):
        DownloadOptions(max_height=0)
    with pytest.raises(ValueError, match="expected one of them"):
        DownloadOptions(cookies="c.txt", cookies_from_browser="firefox")
    for proxy in ("htp://me:word@host:1", "me:word@host", "http://", "http://host:port"):
        with pytest.raises(ValueError, match="proxy is no address") as caught:
            DownloadOptions(proxy=proxy)
        assert "word" not in str(caught.value)
    for content in (b"{}", b"\xff\xfe"):
        (tmp_path / "wrong.txt").write_bytes(content)
        with pytest.raises(ValueError, match=r"wrong\.txt is no cookie file"):
            DownloadOptions(cookies=tmp_path / "wrong.txt").read_cookies()
    with pytest.raises(FileNotFoundError):
        DownloadOptions(cookies=tmp_path / "none.txt").read_cookies()
    with pytest.raises(ValueError, match="no-browser"):
        DownloadOptions(cookies_from_browser="no-browser").read_cookies()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="needs the FFmpeg program"):
        DownloadOptions(audio=True)
