# SPDX-License-Identifier: Apache-2.0
"""One video from the web into a library, by yt-dlp."""

import errno
import io
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yt_dlp
from yt_dlp.utils import DownloadCancelled, DownloadError

from .errors import VideoDecodeError
from .library import VideoLibrary
from .manifest import PASSING, THROTTLED, Attempt, failure_status, without_secrets
from .probe import probe_video, to_mp4
from .sources import VideoSource, is_youtube

# What this module decides, or what would write elsewhere or run another program.
_OWN_OPTIONS = {
    *("outtmpl", "paths", "format", "format_sort", "cookiefile", "cookiesfrombrowser", "proxy", "simulate"),
    *("skip_download", "download_archive", "postprocessors", "external_downloader", "logger", "progress_hooks"),
    *("forceprint", "print_to_file", "exec_cmd", "quiet", "ignoreerrors", "noplaylist", "allow_unplayable_formats"),
}
_COMMON_OPTIONS: dict[str, Any] = {
    "quiet": True,
    "no_warnings": True,
    "noprogress": True,
    "ignoreerrors": False,
    "noplaylist": True,
    "playlist_items": "1",
    "updatetime": False,
    "overwrites": False,  # a file that was downloaded before a kill is taken up
    "retries": 3,
    "fragment_retries": 10,
    "file_access_retries": 3,
    "extractor_retries": 2,
    "socket_timeout": 30,
    "js_runtimes": {"deno": {}, "node": {}, "bun": {}, "quickjs": {}},  # whichever is there
}


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
_DISK_ERROR = rf"\[Errno ({'|'.join(map(str, _DISK_ERRORS))})\]"  # as yt-dlp quotes it


class OutOfSpaceError(OSError):
    """The disk cannot be written to."""


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

    max_height: int = 720
    audio: bool = False
    cookies: str | os.PathLike | None = None
    cookies_from_browser: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    ytdlp_arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_height < 1:
            raise ValueError(f"max_height={self.max_height}, expected at least 1")
        if self.cookies and self.cookies_from_browser:
            raise ValueError("cookies and cookies_from_browser are given, expected one of them")
        if self.audio and not shutil.which("ffmpeg"):
            raise ValueError("audio=True needs the FFmpeg program, to put sound and picture together; install FFmpeg")
        self.ytdlp_options()

    def ytdlp_options(self) -> dict[str, Any]:
        """Returns what yt-dlp is called with, but for what differs from video to video."""
        # "bv" has no sound; a file with both is taken where there is no other, and its sound dropped.
        options = _COMMON_OPTIONS | {
            "format": "bv+ba/b/bv" if self.audio else "bv/b",
            "format_sort": ["vcodec:h264", f"res:{self.max_height}", "ext:mp4:m4a"],
        }
        if self.audio:
            options["merge_output_format"] = "mp4"
        if self.proxy:
            options["proxy"] = self.proxy
        return options | self._further_options()

    def _further_options(self) -> dict[str, Any]:
        default, given = (_parse(arguments) for arguments in ((), self.ytdlp_arguments))
        further = {name: value for name, value in given.items() if name not in default or value != default[name]}
        if refused := sorted(_OWN_OPTIONS & set(further)):
            raise ValueError(
                f"yt-dlp option {', '.join(refused)} among {' '.join(self.ytdlp_arguments)!r} is not passed on; it is "
                "decided here, see surglavi download --help"
            )
        return further

    def read_cookies(self) -> str | None:
        """Returns the cookies in Netscape's format. Raises OSError or ValueError where they cannot be read."""
        if self.cookies:
            return Path(self.cookies).expanduser().read_text(encoding="utf-8")
        if not self.cookies_from_browser:
            return None
        browser = _parse(("--cookies-from-browser", self.cookies_from_browser))["cookiesfrombrowser"]
        try:
            with yt_dlp.YoutubeDL({"quiet": True, "no_warnings": True, "cookiesfrombrowser": browser}) as ydl:
                return _cookie_text(ydl)
        except Exception as error:  # yt-dlp raises whatever the browser's files lead to
            raise ValueError(
                f"cookies of {browser[0]} cannot be read ({without_secrets(str(error))}); close the browser, or "
                "export them to a file for --cookies"
            ) from error


class Fetcher:
    """
    Downloads one video after another, for one thread.

    Args:
        library: Where they go.
        options: How.
        cookies: In Netscape's format. What servers set is kept for the next video, in memory alone.
        stopped: Asked now and then whether to give up.
        report: Called with the number of bytes that came since the last call.
    """

    def __init__(
        self,
        library: VideoLibrary,
        options: DownloadOptions,
        cookies: str | None,
        stopped: Callable[[], bool],
        report: Callable[[int], None],
    ):
        self.library = library
        self.options = options
        self._cookies = cookies
        self._stopped = stopped
        self._report = report

    def fetch(self, source: VideoSource) -> Attempt | None:
        """
        Downloads a video, probes it and puts it in its place; returns what came of it, `None` where stopped.

        Raises:
            OutOfSpaceError: the library cannot be written to.
        """
        started = time.monotonic()
        found: dict[str, Any] = {}
        try:
            found = self._fetch(source)
            status, message = "ok", ""
        except DownloadCancelled:
            return None
        except VideoDecodeError as error:
            status, message = "truncated", str(error)
        except Exception as error:  # whatever an extractor of yt-dlp meets on a page
            message = str(error) or type(error).__name__
            if getattr(error, "errno", None) in _DISK_ERRORS or re.search(_DISK_ERROR, message):
                raise OutOfSpaceError(
                    f"{self.library.root} cannot be written to ({without_secrets(message)})"
                ) from error
            status = failure_status(message, youtube=is_youtube(source.address or ""))
        if self._stopped() and status != "ok":
            return None
        if status not in ("ok", *PASSING, *THROTTLED):  # for which a part would be taken up again
            shutil.rmtree(self.library.partial_dir(source.name), ignore_errors=True)
        return Attempt(
            time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            name=source.name,
            source=without_secrets(source.youtube_id or source.address or ""),
            status=status,
            message=without_secrets(message.removeprefix("ERROR: ")),
            yt_dlp=yt_dlp.version.__version__,
            seconds=round(time.monotonic() - started, 1),
            **found,
        )

    def _fetch(self, source: VideoSource) -> dict[str, Any]:
        if source.address is None:
            raise DownloadError(f"no video formats: neither {source.youtube_id!r} nor {source.url!r} is an address")
        folder = self.library.partial_dir(source.name)
        folder.mkdir(parents=True, exist_ok=True)
        info = self._download(source.address, folder)
        downloaded = Path(info["requested_downloads"][0]["filepath"])
        try:
            file = to_mp4(downloaded, self.options.audio)
            header = probe_video(file, source.duration)
        except VideoDecodeError:
            quarantine = self.library.quarantine_path(source.name)
            quarantine.parent.mkdir(parents=True, exist_ok=True)
            downloaded.replace(quarantine)
            shutil.rmtree(folder)
            raise
        with file.open("rb") as whole:
            os.fsync(whole.fileno())
        size = file.stat().st_size
        target = self.library.video_path(source.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        shutil.rmtree(folder)
        kind = f"{info.get('format_id')} {header.codec} {header.width}x{header.height}"
        return {"format": kind, "size": size, "duration": header.duration}

    def _download(self, address: str, folder: Path) -> dict[str, Any]:
        options = self.options.ytdlp_options() | {
            "paths": {"home": str(folder)},
            "outtmpl": {"default": "%(format_id)s.%(ext)s"},
            "logger": _Silence(),
            "progress_hooks": [self._on_progress],
        }
        if self._cookies is not None:
            options["cookiefile"] = io.StringIO(self._cookies)
        self._bytes = 0
        with yt_dlp.YoutubeDL(options) as ydl:
            try:
                info = ydl.extract_info(address)
            finally:
                if self._cookies is not None:
                    self._cookies = _cookie_text(ydl)
        info = next(iter(info["entries"]), {}) if "entries" in info else info
        if not info.get("requested_downloads"):
            raise DownloadError("no video could be found at this address")
        return info

    def _on_progress(self, progress: dict[str, Any]) -> None:
        if self._stopped():
            raise DownloadCancelled("stopped")
        so_far = progress.get("downloaded_bytes") or 0
        if progress["status"] == "downloading":
            self._report(max(0, so_far - self._bytes))
            self._bytes = so_far


class _Silence:
    """A logger: what yt-dlp says comes with its error."""

    def debug(self, message: str) -> None: ...

    info = warning = error = debug


def _cookie_text(ydl: yt_dlp.YoutubeDL) -> str:
    text = io.StringIO()
    ydl.cookiejar.save(text)
    return text.getvalue()


def _parse(arguments: tuple[str, ...]) -> dict[str, Any]:
    try:
        parsed = yt_dlp.parse_options(["--ignore-config", *arguments])
    except (SystemExit, yt_dlp.optparse.OptParseError, ValueError) as error:
        raise ValueError(f"yt-dlp options {' '.join(arguments)!r}: {error}; see yt-dlp --help") from error
    if parsed.urls:
        raise ValueError(f"yt-dlp options {' '.join(arguments)!r}: {parsed.urls[0]!r} is no option; see yt-dlp --help")
    return parsed.ydl_opts
