# SPDX-License-Identifier: Apache-2.0
"""One video from the web into a library, by yt-dlp."""

import contextlib
import errno
import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yt_dlp
from filelock import FileLock, Timeout
from yt_dlp.utils import DownloadCancelled, DownloadError

from .download_options import DownloadOptions, cookie_text
from .errors import DISK_ERRORS, VideoDecodeError
from .library import VideoLibrary
from .manifest import PASSING, THROTTLED, Attempt, failure_status, without_secrets
from .probe import probe_video
from .remux import RemuxError, to_mp4
from .sources import VideoSource, is_youtube

_DISK_ERROR = rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EROFS})\]|unable to open for writing"  # yt-dlp says so


class OutOfSpaceError(OSError):
    """The disk cannot be written to."""


class _BusyError(RuntimeError):
    """Another process is at work on a video."""


@dataclass(frozen=True)
class _Downloaded:
    path: Path
    format: str


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps other processes from the same video: shards that overlap, say. Raises _BusyError where one has it."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise _BusyError from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # where a file in use cannot be deleted
            path.unlink()
        lock.release()


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
        except _BusyError:
            return None
        except VideoDecodeError as error:
            status, message = "truncated", str(error)
        except RemuxError as error:
            status, message = "format", str(error)
        except Exception as error:  # whatever an extractor of yt-dlp meets on a page
            message = str(error) or type(error).__name__
            if getattr(error, "errno", None) in DISK_ERRORS or re.search(_DISK_ERROR, message):
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
            message=without_secrets(message.removeprefix("ERROR: "), source.url, self.options.proxy),
            yt_dlp=yt_dlp.version.__version__,
            seconds=round(time.monotonic() - started, 1),
            **found,
        )

    def _fetch(self, source: VideoSource) -> dict[str, Any]:
        if source.address is None:
            raise DownloadError(f"no video formats: neither {source.youtube_id!r} nor {source.url!r} is an address")
        folder = self.library.partial_dir(source.name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f"{folder.name}.lock")):
            if self.library.video_path(source.name).is_file():
                raise _BusyError
            folder.mkdir(exist_ok=True)
            downloaded = self._download(source.address, folder)
            try:
                header = probe_video(downloaded.path, source.duration)
            except VideoDecodeError:
                quarantine = self.library.quarantine_path(source.name)
                quarantine.parent.mkdir(parents=True, exist_ok=True)
                downloaded.path.replace(quarantine)
                shutil.rmtree(folder)
                raise
            file = to_mp4(downloaded.path, self.options.audio)
            if file != downloaded.path:
                probe_video(file, None)
            with file.open("rb") as whole:
                os.fsync(whole.fileno())
            size = file.stat().st_size
            target = self.library.video_path(source.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
            shutil.rmtree(folder)
        kind = f"{downloaded.format} {header.codec} {header.width}x{header.height}"
        return {"format": kind, "size": size, "duration": header.duration}

    def _download(self, address: str, folder: Path) -> _Downloaded:
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
                    self._cookies = cookie_text(ydl.cookiejar)
        info = next(iter(info["entries"]), {}) if "entries" in info else info
        if not info.get("requested_downloads"):
            raise DownloadError("no video could be found at this address")
        return _Downloaded(Path(info["requested_downloads"][0]["filepath"]), str(info.get("format_id")))

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
