# SPDX-License-Identifier: Apache-2.0
"""How videos are downloaded: our options, yt-dlp's, and cookies."""

import contextlib
import http.cookiejar
import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yt_dlp
from yt_dlp.cookies import YoutubeDLCookieJar

from ..options import option
from .manifest import without_secrets

# What this module decides, and what would skip videos, write elsewhere or run another program.
_OWN_OPTIONS = {
    *("outtmpl", "paths", "format", "format_sort", "cookiefile", "cookiesfrombrowser", "proxy", "simulate", "test"),
    *("skip_download", "download_archive", "postprocessors", "external_downloader", "logger", "progress_hooks"),
    *("forceprint", "print_to_file", "exec_cmd", "quiet", "ignoreerrors", "noplaylist", "allow_unplayable_formats"),
    *("listformats", "listsubtitles", "list_thumbnails", "wait_for_video", "netrc_cmd", "playlist_items"),
    *("match_filter", "break_match_filter", "breaking_match_filter", "daterange", "age_limit", "min_views"),
    *("max_views", "max_downloads", "min_filesize", "max_filesize", "download_ranges", "break_on_existing"),
    *("overwrites", "nopart", "continuedl", "merge_output_format", "final_ext", "remuxvideo", "recodevideo"),
}
_OWN_VALUES: dict[str, Any] = {
    "quiet": True,
    "no_warnings": True,
    "noprogress": True,
    "ignoreerrors": False,
    "noplaylist": True,
    "playlist_items": "1",
    "overwrites": False,  # a file that was downloaded before a kill is taken up
}
# Defaults of this package, which options that are passed on replace.
_DEFAULT_ARGUMENTS = (
    *("--socket-timeout", "30", "--retries", "3", "--extractor-retries", "2", "--no-mtime"),
    *(text for runtime in ("deno", "node", "bun", "quickjs") for text in ("--js-runtimes", runtime)),  # any there is
)
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


@dataclass(frozen=True)
class DownloadOptions:
    """
    How videos are downloaded.

    Args:
        max_height: Pixels of the shorter side, at most; where a video only comes larger, the smallest it comes in.
        audio: Whether to keep the sound.
        cookies: A Netscape cookie file. It is read, never written.
        cookies_from_browser: As yt-dlp's option: `BROWSER[+KEYRING][:PROFILE][::CONTAINER]`.
        proxy: Address of an HTTP or SOCKS proxy.
        ytdlp_arguments: Further options of yt-dlp, as on its command line.

    Raises:
        ValueError: an option is out of range, unknown to yt-dlp, or one that this package decides.
    """

    max_height: int = option(720, "at most", metavar="PIXELS")
    audio: bool = option(False, "keep the sound; needs FFmpeg")
    cookies: str | os.PathLike | None = option(
        None, "cookie file in Netscape's format; it is only read", metavar="FILE"
    )
    cookies_from_browser: str | None = option(None, "as yt-dlp's option, for example firefox", metavar="BROWSER")
    proxy: str | None = option(None, "HTTP or SOCKS proxy", metavar="URL", repr=False)  # may hold a password
    ytdlp_arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_height < 1:
            raise ValueError(f"max_height={self.max_height}, expected at least 1")
        if self.cookies and self.cookies_from_browser:
            raise ValueError("cookies and cookies_from_browser are given, expected one of them")
        if self.audio and not shutil.which("ffmpeg"):
            raise ValueError("audio=True needs the FFmpeg program, to put sound and picture together; install FFmpeg")
        if self.proxy and not _is_proxy(self.proxy):
            raise ValueError(
                f"proxy is no address of one, expected SCHEME://HOST:PORT with a scheme of {', '.join(_PROXY_SCHEMES)}"
            )
        self.ytdlp_options()

    def ytdlp_options(self) -> dict[str, Any]:
        """Returns what yt-dlp is called with, but for what differs from video to video."""
        default = _parse(_DEFAULT_ARGUMENTS)
        options = _parse((*_DEFAULT_ARGUMENTS, *self.ytdlp_arguments))
        changed = (name for name, value in options.items() if name not in default or value != default[name])
        if refused := sorted(_OWN_OPTIONS.intersection(changed)):
            raise ValueError(
                f"yt-dlp option {', '.join(refused)} among {' '.join(self.ytdlp_arguments)!r} is not passed on; it is "
                "decided here, see surglavi download --help"
            )
        # "bv" has no sound; a file with both is taken where there is no other, and its sound dropped.
        options |= _OWN_VALUES | {
            "format": "bv+ba/b/bv" if self.audio else "bv/b",
            "format_sort": ["vcodec:h264", f"res:{self.max_height}", "ext:mp4:m4a"],
        }
        if self.audio:
            options["merge_output_format"] = "mp4"
        if self.proxy:
            options["proxy"] = self.proxy
        return options

    def read_cookies(self) -> str | None:
        """
        Returns the cookies in Netscape's format.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no cookies, or the browser's cannot be had.
        """
        if self.cookies:
            return _netscape_cookies(Path(os.path.expanduser(self.cookies)))
        if not self.cookies_from_browser:
            return None
        browser = _parse(("--cookies-from-browser", self.cookies_from_browser))["cookiesfrombrowser"]
        try:
            with yt_dlp.YoutubeDL({"quiet": True, "no_warnings": True, "cookiesfrombrowser": browser}) as ydl:
                return cookie_text(ydl.cookiejar)
        except Exception as error:  # yt-dlp raises whatever the browser's files lead to
            raise ValueError(
                f"cookies of {browser[0]} cannot be read ({without_secrets(str(error))}); close the browser, or "
                "export them to a file for --cookies"
            ) from error


def cookie_text(jar: YoutubeDLCookieJar) -> str:
    """Returns the cookies of a jar in Netscape's format."""
    text = io.StringIO()
    jar.save(text)
    return text.getvalue()


def _netscape_cookies(path: Path) -> str:
    """Returns the cookies of a file that are sound; yt-dlp would print the others, secrets and all."""
    try:
        jar = YoutubeDLCookieJar(io.StringIO(path.read_text(encoding="utf-8")))
        with contextlib.redirect_stderr(io.StringIO()):
            jar.load()
    except (http.cookiejar.LoadError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is no cookie file in Netscape's format; export the cookies of a browser as cookies.txt"
        ) from error
    return cookie_text(jar)


def _is_proxy(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in _PROXY_SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _parse(arguments: tuple[str, ...]) -> dict[str, Any]:
    try:
        parsed = yt_dlp.parse_options(["--ignore-config", *arguments])
    except (SystemExit, yt_dlp.optparse.OptParseError, ValueError) as error:
        raise ValueError(f"yt-dlp options {' '.join(arguments)!r}: {error}; see yt-dlp --help") from error
    if parsed.urls:
        raise ValueError(f"yt-dlp options {' '.join(arguments)!r}: {parsed.urls[0]!r} is no option; see yt-dlp --help")
    return parsed.ydl_opts
