# SPDX-License-Identifier: Apache-2.0
"""One video from the web into a library, by yt-dlp."""

import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yt_dlp
from filelock import FileLock, Timeout
from yt_dlp.utils import DownloadCancelled, DownloadError

from .container import Header
from .download_options import DownloadOptions, cookie_text
from .errors import DISK_ERRORS, VideoDecodeError
from .identity import is_youtube
from .library import VideoLibrary
from .manifest import Attempt, now, warnings_to_keep, without_secrets
from .parts import CarefulYoutubeDL
from .probe import probe_video
from .reasons import SPEAKS_OF, failure_status
from .remux import RemuxError, to_mp4
from .sources import VideoSource

_DISK_ERROR = rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EROFS})\]|unable to open for writing"  # yt-dlp says so
_STALE = "HTTP Error 416"
_STAMP = ".stamp"


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
        self._ytdlp_options = options.ytdlp_options()
        self._warnings: list[str] = []

    def fetch(self, source: VideoSource) -> Attempt | None:
        """
        Downloads a video, probes it and puts it in its place; returns what came of it, `None` where stopped.

        Raises:
            OutOfSpaceError: the library cannot be written to.
        """
        started = time.monotonic()
        found: dict[str, Any] = {}
        self._warnings.clear()
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
            status = failure_status(message, is_youtube(source.address or ""), self._warnings)
        if self._stopped() and status != "ok":
            return None
        if status != "ok" and SPEAKS_OF[status] == "video":  # otherwise a part is taken up again
            shutil.rmtree(self.library.partial_dir(source.name), ignore_errors=True)
        return Attempt(
            time=now(),
            name=source.name,
            source=without_secrets(source.youtube_id or source.address or ""),
            status=status,
            message=without_secrets(message.removeprefix("ERROR: "), source.url, self.options.proxy),
            warnings=() if status == "ok" else warnings_to_keep(self._warnings, source.url, self.options.proxy),
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
            downloaded, header = self._download_and_probe(source, folder)
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
        return {"format": f"{downloaded.format} {header.summary}", "size": size, "duration": header.duration}

    def _download_and_probe(self, source: VideoSource, folder: Path) -> tuple[_Downloaded, Header]:
        """Goes on with what an earlier attempt left; where nothing comes of that, it begins anew."""
        self._keep_what_fits(source.address, folder)
        left = any(path.name != _STAMP for path in folder.iterdir())
        try:
            downloaded = self._download(source.address, folder)
            try:
                return downloaded, probe_video(downloaded.path, source.duration)
            except VideoDecodeError:
                if not left:
                    quarantine = self.library.quarantine_path(source.name)
                    quarantine.parent.mkdir(parents=True, exist_ok=True)
                    downloaded.path.replace(quarantine)
                    raise
        except DownloadError as error:
            if not left or _STALE not in str(error):
                raise
        shutil.rmtree(folder)
        return self._download_and_probe(source, folder)

    def _keep_what_fits(self, address: str, folder: Path) -> None:
        """Empties a folder but where it is of this address and these options: yt-dlp would take up anything."""
        kind = (address, self.options.max_height, self.options.audio, self.options.ytdlp_arguments)
        stamp, digest = folder / _STAMP, hashlib.sha256(repr(kind).encode()).hexdigest().encode()
        if not stamp.is_file() or stamp.read_bytes() != digest:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            stamp.write_bytes(digest)

    def _download(self, address: str, folder: Path) -> _Downloaded:
        options = self._ytdlp_options | {
            "paths": {"home": str(folder)},
            "outtmpl": {"default": "%(format_id)s.%(ext)s"},
            "logger": _Listener(self._warnings),
            "progress_hooks": [self._on_progress],
        }
        if self._cookies is not None:
            options["cookiefile"] = io.StringIO(self._cookies)
        self._bytes = 0
        with CarefulYoutubeDL(options) as ydl:
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


class _Listener:
    """A logger: what yt-dlp says comes with its error, but for the warnings, which often tell why."""

    def __init__(self, warnings: list[str]):
        self._warnings = warnings

    def warning(self, message: str) -> None:
        self._warnings.append(message)

    def debug(self, message: str) -> None: ...

    info = error = debug
