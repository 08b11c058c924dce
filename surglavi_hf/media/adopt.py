# SPDX-License-Identifier: Apache-2.0
"""Videos that are on disk already, linked into a library."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from tqdm.auto import tqdm

from ..files import unfinished_path
from .container import Header
from .errors import VideoDecodeError
from .identity import VIDEO_SUFFIXES, find_youtube_id
from .library import VideoLibrary, is_file_name
from .manifest import Manifest, attempt_of_a_file
from .probe import probe_video
from .sources import VideoSource

_ID_LENGTH = 11
_POINTERS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the video; git lfs pull brings it",
    b"/annex/objects/": "is a git-annex pointer, not the video; git annex get brings it",
}
# What programs put at the end of a name: its size in pixels, yt-dlp's format, the number of a copy.
_RESOLUTION = r"(?:\d{3,4}[pi]\d{0,3}|[248]k|u?hd|sd|\d{3,4}x\d{3,4})"
_AT_THE_END = re.compile(
    rf"(?:[\s._-]*[(\[]?{_RESOLUTION}[)\]]?|\.f[\w-]+|[\s._-]*\(\d+\)|[\s._-]+copy(?:[\s._-]+\d+)?)$", re.IGNORECASE
)
_BEFORE = re.compile(r"^(?:v|vid|video)[\s_-]+", re.IGNORECASE)  # v_ID, as data sets of actions name them
# A name that goes on like this is of a piece of a video: a number, two times, "clip 3".
_PIECE = re.compile(
    r"[\W_]*(?:(?:clip|part|pt|seg(?:ment)?|scene|shot|cut|chunk|split|trim|preview|sample|trailer|seq(?:uence)?|[csp])[\W_]*)?"
    r"(?:\d+(?:[\W_]+\d+)*)?[\W_]*s?",
    re.IGNORECASE,
)


@dataclass
class Adoption:
    """
    The outcome of [`adopt_videos`].

    Args:
        adopted: The file of each video that was linked.
        there: Names of videos that were there before.
        missing: Names of videos that are still not there.
        unknown: Video files that belong to none, or to one of several.
        unused: Video files that belong to a video that has another.
        skipped: Why a file is not the whole video that it is named after, or a folder or file cannot be read.
    """

    adopted: dict[str, Path] = field(default_factory=dict)
    there: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """1 where something was skipped."""
        return 1 if self.skipped else 0


@dataclass(frozen=True, order=True)
class _Candidate:
    rank: int  # the surer the greater
    size: int
    path: Path
    is_piece: bool  # or may be one, by its name


def adopt_videos(library: VideoLibrary, sources: Sequence[VideoSource], folder: str | os.PathLike) -> Adoption:
    """
    Finds the videos in a folder, flat or nested, and makes symbolic links to those the library lacks. A file is a
    video's where its name, up to the suffix, is the video's name or its YouTube id, or holds that id: after `-` at its
    end or in brackets, or elsewhere between other characters than letters and digits. A size in pixels, a format of
    yt-dlp or the number of a copy at the end of a name do not count. Of several files the first of these, then the
    largest. Each is read as a download is before it is linked, and noted in the manifest. The library itself is not
    looked into. Shows a progress bar.

    Args:
        library: Where the links go.
        sources: The videos it should have.
        folder: Where to look.

    Raises:
        BlockingIOError: another `surglavi adopt` is at work on the library.
        NotADirectoryError: there is no such folder.
        OSError: a link cannot be made.
    """
    folder = Path(os.path.expanduser(folder)).resolve()
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder; name the one that holds the videos")
    by_name: dict[str, VideoSource] = {}
    for source in filter(lambda source: is_file_name(source.name), sources):
        by_name.setdefault(source.name, source)
    adoption, names = Adoption(), _Names(list(by_name.values()))
    found: dict[str, list[_Candidate]] = {}
    files = _video_files(folder, library.root.resolve(), adoption.skipped, names)
    for path, size in tqdm(files, desc="looking", unit=" file", dynamic_ncols=True, delay=2):
        rank, owners, is_piece = names.owners(path)
        for name in owners:
            found.setdefault(name, []).append(_Candidate(rank, size, path, is_piece))
        if not owners:
            adoption.unknown.append(path)
    there, manifest = set(library.downloaded_names()), Manifest(library.manifest_path)
    with library.lock("adopt"):
        for name, source in tqdm(by_name.items(), desc="reading", unit=" video", dynamic_ncols=True, delay=2):
            candidates = sorted(found.get(name, []), reverse=True)
            if name in there:
                adoption.there.append(name)
            elif whole := _first_whole(candidates, source, adoption.skipped):
                candidate, header = whole
                _link(library.video_path(name), candidate.path)
                manifest.append(attempt_of_a_file(source, candidate.path, header, "adopted"))
                adoption.adopted[name] = candidate.path
                candidates.remove(candidate)
            else:
                adoption.missing.append(name)
            adoption.unused += [one.path for one in candidates if one.path not in adoption.skipped]
    return adoption


def _first_whole(
    candidates: list[_Candidate], source: VideoSource, skipped: dict[Path, str]
) -> tuple[_Candidate, Header] | None:
    """Returns the first file that is the whole video; what comes before it is skipped."""
    for candidate in candidates:
        if candidate.is_piece and not source.duration:
            skipped[candidate.path] = "is named as a piece of the video, whose duration the database does not know"
        else:
            try:
                return candidate, probe_video(candidate.path, source.duration)
            except Exception as error:  # whatever is wrong with one file, the others are looked at
                skipped[candidate.path] = _reason(candidate.path, error)
    return None


def _reason(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(200)
    except OSError as unreadable:
        return _words(unreadable)
    if not head:
        return "is empty"
    for sign, reason in _POINTERS.items():
        if sign in head:
            return reason
    if isinstance(error, VideoDecodeError):
        return str(error).removeprefix(f"video {path} ")
    return _words(error) if isinstance(error, OSError) else f"cannot be read ({type(error).__name__}: {error})"


def _words(error: OSError) -> str:
    return f"cannot be read ({error.strerror or error})"


class _Names:
    """Tells whose a video file is by its name."""

    def __init__(self, sources: Sequence[VideoSource]):
        self._by_name: dict[str, list[str]] = {}
        self._by_id: dict[str, list[str]] = {}
        for source in sources:
            self._by_name.setdefault(_composed(source.name), []).append(source.name)
            if id_ := find_youtube_id(source.youtube_id, source.url):
                self._by_id.setdefault(id_, []).append(source.name)

    def is_one(self, name: str) -> bool:
        """Whether a file without a suffix is called after a video."""
        return _composed(name) in self._by_name or name in self._by_id

    def owners(self, path: Path) -> tuple[int, list[str], bool]:
        """Returns how surely a file is some videos', their names, and whether it may be a piece of them."""
        stem = _composed(path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name)
        if stem in self._by_name:
            return 4, self._by_name[stem], False
        if stem in self._by_id:
            return 3, self._by_id[stem], False
        ids = [
            (_is_sure(stem, place), stem[place : place + _ID_LENGTH], stem[place + _ID_LENGTH :])
            for place in range(len(stem) - _ID_LENGTH + 1)
            if stem[place : place + _ID_LENGTH] in self._by_id and _stands_alone(stem, place)
        ]
        best = {id_: after for sure, id_, after in ids if sure == max(ids)[0]}
        if len(best) == 1:
            ((id_, after),) = best.items()
            sure = max(ids)[0]
            return 1 + sure, self._by_id[id_], not sure and _is_of_a_piece(after)
        plain = _BEFORE.sub("", _without_additions(stem))
        return 0, [] if best else self._by_name.get(plain, self._by_id.get(plain, [])), False


def _composed(text: str) -> str:
    return normalize("NFC", text)  # macOS takes letters and their accents apart


def _without_additions(stem: str) -> str:
    while shorter := _AT_THE_END.sub("", stem):
        if shorter == stem:
            break
        stem = shorter
    return stem


def _is_of_a_piece(after: str) -> bool:
    rest = _without_additions(f"x{after}")[1:]
    return any(map(str.isalnum, rest)) and bool(_PIECE.fullmatch(rest))


def _stands_alone(stem: str, place: int) -> bool:
    around = stem[max(0, place - 1) : place] + stem[place + _ID_LENGTH : place + _ID_LENGTH + 1]
    return not any(character.isascii() and character.isalnum() for character in around)


def _is_sure(stem: str, place: int) -> bool:
    """Whether an id stands as yt-dlp and youtube-dl write it, `TITLE [ID]` and `TITLE-ID`."""
    before, after = stem[:place], stem[place + _ID_LENGTH :]
    return (before.endswith("-") and not after) or (before.endswith("[") and after.startswith("]"))


def _video_files(folder: Path, library: Path, skipped: dict[Path, str], names: _Names) -> Iterator[tuple[Path, int]]:
    """Yields the video files under a folder with their sizes; nothing of the library itself, nor what is skipped."""
    own = [library / part for part in ("videos", "partial", "quarantine", "frames")]
    seen = {_identity(path) for path in own if path.is_dir()}
    pending = [folder]
    while pending:
        inside = pending.pop()
        try:
            if _identity(inside) in seen:  # links may lead in circles
                continue
            seen.add(_identity(inside))
            with os.scandir(inside) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            skipped[inside] = _words(error)
            continue
        for entry in entries:
            path = Path(entry.path)
            try:
                if entry.is_dir():
                    pending.append(path)
                elif path.suffix.lower() in VIDEO_SUFFIXES or names.is_one(entry.name):
                    size = entry.stat().st_size  # which fails for a link that leads nowhere
                    if entry.is_file():
                        yield path, size
            except OSError as error:
                skipped[path] = _words(error)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(link)
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(target)
    unfinished.replace(link)
