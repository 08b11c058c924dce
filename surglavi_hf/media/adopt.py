# SPDX-License-Identifier: Apache-2.0
"""Videos that are on disk already, linked into a library."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..files import unfinished_path
from .library import VideoLibrary, is_file_name
from .sources import VideoSource

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi", ".ts")
_ID_LENGTH = 11


@dataclass
class Adoption:
    """
    The outcome of [`adopt_videos`].

    Args:
        adopted: The file of each video that was linked.
        there: Names of videos that were there before.
        missing: Names of videos that are still not there.
        unknown: Video files that belong to none.
        unused: Video files that belong to a video that has another.
    """

    adopted: dict[str, Path] = field(default_factory=dict)
    there: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)


def adopt_videos(library: VideoLibrary, sources: Sequence[VideoSource], folder: str | os.PathLike) -> Adoption:
    """
    Finds the videos in a folder, flat or nested, and makes symbolic links to those the library lacks. A file is a
    video's where its name, up to the suffix, is the video's name or its YouTube id, or ends in `-<YouTube id>` or
    `[<YouTube id>]`; of several the first of these, then the largest. Empty files do not count, nor does the library
    itself.

    Args:
        library: Where the links go.
        sources: The videos it should have.
        folder: Where to look.

    Raises:
        NotADirectoryError: there is no such folder.
        OSError: a link cannot be made.
    """
    folder = Path(os.path.expanduser(folder)).resolve()
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder; name the one that holds the videos")
    by_name: dict[str, list[str]] = {}
    by_id: dict[str, list[str]] = {}
    for source in sources:
        if is_file_name(source.name):
            by_name.setdefault(source.name, []).append(source.name)
            if source.youtube_id:
                by_id.setdefault(source.youtube_id, []).append(source.name)
    adoption = Adoption()
    found: dict[str, list[tuple[int, int, Path]]] = {}  # the better the greater
    for path, size in _video_files(folder, library.root.resolve()):
        rank, names = _match(path.stem, by_name, by_id)
        for name in names:
            found.setdefault(name, []).append((rank, size, path))
        if not names:
            adoption.unknown.append(path)
    there = set(library.downloaded_names())
    for name in by_name:
        candidates = sorted(found.get(name, []), reverse=True)
        if name in there:
            adoption.there.append(name)
        elif candidates:
            adoption.adopted[name] = candidates.pop(0)[2]
            _link(library.video_path(name), adoption.adopted[name])
        else:
            adoption.missing.append(name)
        adoption.unused += [path for _, _, path in candidates]
    return adoption


def _match(stem: str, by_name: dict[str, list[str]], by_id: dict[str, list[str]]) -> tuple[int, list[str]]:
    """Returns the names of the videos that a file can be, and how surely."""
    if stem in by_name:
        return 2, by_name[stem]
    if stem in by_id:
        return 1, by_id[stem]
    id_, before = (stem[-_ID_LENGTH - 1 : -1], "[") if stem.endswith("]") else (stem[-_ID_LENGTH:], "-")
    if id_ in by_id and stem.removesuffix("]").removesuffix(id_).endswith(before):
        return 0, by_id[id_]
    return 0, []


def _video_files(folder: Path, library: Path) -> Iterator[tuple[Path, int]]:
    """Yields the video files under a folder that are not empty, with their sizes; nothing of the library itself."""
    own = [library / part for part in ("videos", "partial", "quarantine", "frames")]
    seen = {_identity(path) for path in own if path.is_dir()}
    pending = [folder]
    while pending:
        if _identity(pending[-1]) in seen:  # links may lead in circles
            pending.pop()
            continue
        seen.add(_identity(pending[-1]))
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    pending.append(Path(entry.path))
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file() and (size := entry.stat().st_size):
                    yield Path(entry.path), size


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(link)
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(target)
    unfinished.replace(link)
