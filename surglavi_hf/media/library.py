# SPDX-License-Identifier: Apache-2.0
"""Where a video lies, and what belongs to it."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from unicodedata import category

import xxhash
from filelock import FileLock, Timeout

MAX_NAME_BYTES = 200  # leaves room for a suffix within the 255 bytes file systems allow
_SAMPLE = 1 << 20  # bytes, read in a few milliseconds; what lists the frames of an MP4 is at its head or its tail
_IDENTITIES = 16384


class VideoLibrary:
    """The only code that knows a library's paths: `<root>/videos/<name>/<name>.mp4`, `<root>/frames/<name>.arrow`."""

    def __init__(self, root: str | os.PathLike):
        self.root = Path(root)

    def video_path(self, name: str) -> Path:
        """
        Returns where the video called `name` belongs, whether it is there or not.

        Raises:
            ValueError: `name` is empty, has over 200 bytes, or could leave the library (a separator, `..`, a control
                character).
        """
        return self.root / "videos" / _checked(name) / f"{name}.mp4"

    def frames_path(self, name: str) -> Path:
        """Returns where the frame store of the video called `name` belongs. Raises as [`VideoLibrary.video_path`]."""
        return self.root / "frames" / f"{_checked(name)}.arrow"

    def remove_unfinished(self) -> None:
        """Deletes frame stores that were not written to their end."""
        for path in (self.root / "frames").glob(".*-unfinished"):
            path.unlink(missing_ok=True)

    def partial_dir(self, name: str) -> Path:
        """
        Returns where the video called `name` is downloaded to; not named after it, for yt-dlp finds meaning in `%`,
        `$` and `~`. Raises as [`VideoLibrary.video_path`].
        """
        return self.root / "partial" / hashlib.sha256(_checked(name).encode()).hexdigest()[:32]

    def quarantine_path(self, name: str) -> Path:
        """Returns where a download of `name` that is not the video goes. Raises as [`VideoLibrary.video_path`]."""
        return self.root / "quarantine" / f"{_checked(name)}.mp4"

    @property
    def manifest_path(self) -> Path:
        """The list of all attempts to download."""
        return self.root / "downloads.jsonl"

    def free_space(self) -> int:
        """Returns how many bytes are free where the videos go."""
        folder = self.root.absolute() / "videos"
        return shutil.disk_usage(next(parent for parent in (folder, *folder.parents) if parent.is_dir())).free

    @contextmanager
    def lock(self, work: str) -> Iterator[None]:
        """
        Keeps others from the same work on this library.

        Args:
            work: Its name, a part of that of the lock's file.

        Raises:
            BlockingIOError: another process is at it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.root / f".{work}.lock", timeout=0):
                yield
        except Timeout as error:
            raise BlockingIOError(
                f"another `surglavi {work}` is at work on {self.root}; wait for it, or stop it"
            ) from error

    def downloaded_names(self) -> list[str]:
        """Returns the names of the videos that are there, sorted."""
        names = _names(self.root / "videos", "")
        return [name for name in names if os.path.isfile(self.video_path(name))]

    def stored_names(self) -> list[str]:
        """Returns the names of the videos that have a frame store, sorted."""
        return _names(self.root / "frames", ".arrow")

    def video_names(self) -> list[str]:
        """Returns the names of the videos whose frames can be read, from themselves or from a frame store, sorted."""
        return sorted({*self.downloaded_names(), *self.stored_names()})

    def has(self, name: str) -> bool:
        """Whether the frames of the video called `name` can be read; never for a name that cannot be a file's."""
        return is_file_name(name) and (self.frames_path(name).is_file() or self.video_path(name).is_file())

    def transcription_path(self, file_path: str) -> Path | None:
        """
        Returns where the transcription that the database calls `file_path` belongs, `<root>/transcriptions/<file>`,
        whether it is there or not. Only the last part counts, the folders before it are those of another machine;
        `None` where that cannot be a file name.
        """
        name = PurePosixPath(file_path.replace("\\", "/")).name
        return self.root / "transcriptions" / name if is_file_name(name) else None

    def transcriptions_changed_at(self) -> int:
        """Returns when a transcription was last added or removed, in nanoseconds; 0 where there is no folder."""
        folder = self.root / "transcriptions"
        return folder.stat().st_mtime_ns if folder.is_dir() else 0


def content_identity(path: Path) -> dict:
    """
    Returns what a file is known by wherever it is copied: its size, and a digest of its head, middle and tail, XXH3 of
    128 bits. Bytes that change elsewhere, with the size kept, go unseen. Kept while the file is the same.
    """
    status = path.stat()
    return _content_identity(str(path), (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(_IDENTITIES)
def _content_identity(path: str, state: tuple) -> dict:
    found = xxhash.xxh3_128()
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for place in (0, (size - _SAMPLE) // 2, size - _SAMPLE):
            file.seek(max(0, place))
            found.update(file.read(_SAMPLE))
    return {"size": size, "digest": found.hexdigest()}


def is_file_name(name: str) -> bool:
    """Whether `name` stays in the folder it is joined to, and file systems allow it."""
    return (
        name not in ("", ".", "..")
        and len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES
        and not any(character in "/\\" or category(character) in ("Cc", "Cs") for character in name)
    )


def _checked(name: str) -> str:
    if not is_file_name(name):
        raise ValueError(
            f"video name {name!r} cannot be a file name, expected 1 to {MAX_NAME_BYTES} bytes without separators "
            "or control characters; correct videos.name in the database"
        )
    return name


def _names(folder: Path, suffix: str) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(suffix)]
    names = [name[: len(name) - len(suffix)] for name in names]
    return sorted(name for name in names if is_file_name(name))
