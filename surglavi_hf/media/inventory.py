# SPDX-License-Identifier: Apache-2.0
"""A list of the videos that one has, to hand to a colleague, and what differs between two of them."""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..files import write_text
from ..named_values import each_once
from .container import read_header
from .errors import VideoDecodeError
from .identity import YOUTUBE_ID, find_youtube_id
from .library import VideoLibrary, content_identity, is_file_name
from .sources import VideoSource

_KIND = {"surglavi_manifest": 1}  # its first line, and the version
_LARGEST_FILE = 256 << 20  # a million videos
_LONGEST_LINE = 4096
_LARGEST_SIZE, _LONGEST_S = 1 << 50, 1e7  # of a video: a petabyte, four months
_DIGEST = re.compile(r"[0-9a-f]{32}")
_FORMAT = re.compile(r"[ -~]{1,100}")


@dataclass(frozen=True)
class VideoRecord:
    """
    A video that somebody has.

    Args:
        name: In the library.
        youtube_id: If it is on YouTube.
        size: Of the file in bytes.
        digest: Of its content, as [`content_identity`].
        duration: In seconds, `None` where the file does not declare it.
        format: Its codec and size in pixels, `None` where it cannot be read.
    """

    name: str
    youtube_id: str | None
    size: int
    digest: str
    duration: float | None
    format: str | None


@dataclass
class Comparison:
    """
    What differs between two lists of videos, "here" and "there".

    Args:
        same: Names of the videos whose content is equal.
        different: Of videos whose content differs, what is here and what is there.
        renamed: Of videos with other names but one YouTube id or content, likewise.
        only_here: What is not there.
        only_there: What is not here.
    """

    same: list[str] = field(default_factory=list)
    different: list[tuple[VideoRecord, VideoRecord]] = field(default_factory=list)
    renamed: list[tuple[VideoRecord, VideoRecord]] = field(default_factory=list)
    only_here: list[VideoRecord] = field(default_factory=list)
    only_there: list[VideoRecord] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0 where nothing differs, else 1."""
        return 1 if self.different or self.renamed or self.only_here or self.only_there else 0


def take_inventory(library: VideoLibrary, sources: Sequence[VideoSource]) -> list[VideoRecord]:
    """
    Returns the videos that are in a library, by name, with what their files hold. Shows a progress bar.

    Args:
        library: Where they are.
        sources: Whence their ids; a video that is not among them has none.

    Raises:
        OSError: a file cannot be read.
    """
    ids = {source.name: find_youtube_id(source.youtube_id, source.url) for source in reversed(sources)}
    names = library.downloaded_names()
    return [
        _record(library.video_path(name), name, ids.get(name))
        for name in tqdm(names, desc="reading", unit=" video", dynamic_ncols=True, delay=2)
    ]


def _record(path: Path, name: str, youtube_id: str | None) -> VideoRecord:
    try:
        header = read_header(str(path))
        duration, form = header.duration, header.summary
    except VideoDecodeError:
        duration = form = None
    known = youtube_id if youtube_id and YOUTUBE_ID.fullmatch(youtube_id) else None
    return VideoRecord(name, known, **content_identity(path), duration=duration, format=form)


def write_inventory(path: str | os.PathLike, records: Iterable[VideoRecord]) -> None:
    """
    Writes a list of videos, one JSON object a line, by name; it holds no path.

    Raises:
        FileExistsError: there is something else at `path`.
        OSError: it cannot be written.
    """
    path = Path(path)
    first = json.dumps(_KIND) + "\n"
    if path.exists():
        with path.open("rb") as file:
            if file.read(len(first)) != first.encode():
                raise FileExistsError(f"{path} is there and no list of videos; name another --output")
    lines = (json.dumps(asdict(record), ensure_ascii=False) for record in sorted(records, key=lambda one: one.name))
    write_text(path, first + "".join(f"{line}\n" for line in lines))


def read_inventory(path: str | os.PathLike) -> list[VideoRecord]:
    """
    Reads a list of videos, which may be anybody's.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not one; the message names the line.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file; name one that surglavi manifest wrote")
    records: dict[str, VideoRecord] = {}
    for number, line in enumerate(_lines(path), 1):
        try:
            values = json.loads(line.decode(), parse_constant=_refuse_constant, object_pairs_hook=each_once)
        except (ValueError, RecursionError) as error:
            raise _no_inventory(path, number, f"is no JSON ({type(error).__name__})") from error
        if number == 1:
            if values != _KIND or type(values["surglavi_manifest"]) is not int:
                raise _no_inventory(path, 1, f"does not say {json.dumps(_KIND)}")
            continue
        if wrong := _what_is_wrong(values):
            raise _no_inventory(path, number, wrong)
        if values["name"] in records:
            raise _no_inventory(path, number, f"repeats the name {values['name']!r}")
        records[values["name"]] = VideoRecord(**values)
    return list(records.values())


def compare_inventories(here: Iterable[VideoRecord], there: Iterable[VideoRecord]) -> Comparison:
    """Returns what differs. Videos belong together by name, what is left by YouTube id, and then by content."""
    comparison = Comparison()
    mine, others = ({record.name: record for record in records} for records in (here, there))
    for key, renamed in ((_by_name, False), (_by_id, True), (_by_content, True)):
        waiting = {key(record): record for record in others.values() if key(record)}
        for record in list(mine.values()):
            other = waiting.pop(key(record), None)
            if other is None:
                continue
            del mine[record.name], others[other.name]
            if renamed:
                comparison.renamed.append((record, other))
            elif _by_content(record) == _by_content(other):
                comparison.same.append(record.name)
            else:
                comparison.different.append((record, other))
    comparison.only_here, comparison.only_there = list(mine.values()), list(others.values())
    return comparison


def _by_name(record: VideoRecord) -> Any:
    return record.name


def _by_id(record: VideoRecord) -> Any:
    return record.youtube_id


def _by_content(record: VideoRecord) -> Any:
    return (record.size, record.digest) if record.size else None


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > _LARGEST_FILE:
            raise ValueError(f"{path} has {size:,} bytes, expected {_LARGEST_FILE:,} at most of a list of videos")
        number = 0
        while line := file.readline(_LONGEST_LINE + 1):
            number += 1
            if len(line) > _LONGEST_LINE:
                raise _no_inventory(path, number, f"is longer than {_LONGEST_LINE:,} bytes")
            yield line
        if not number:
            raise _no_inventory(path, 1, "is missing")


def _no_inventory(path: Path, number: int, wrong: str) -> ValueError:
    return ValueError(f"{path} is no list of videos: line {number:,} {wrong}; write it with surglavi manifest")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _what_is_wrong(values: Any) -> str | None:
    """Returns what is wrong with the values of a record, if anything."""
    expected = [one.name for one in fields(VideoRecord)]
    if not isinstance(values, dict) or sorted(values) != sorted(expected):
        return f"has not exactly the keys {', '.join(expected)}"
    name, youtube_id, form, digest = (values[key] for key in ("name", "youtube_id", "format", "digest"))
    sound = {
        "name": isinstance(name, str) and is_file_name(name),
        "youtube_id": youtube_id is None or (isinstance(youtube_id, str) and bool(YOUTUBE_ID.fullmatch(youtube_id))),
        "size": type(values["size"]) is int and 0 <= values["size"] <= _LARGEST_SIZE,
        "digest": isinstance(digest, str) and bool(_DIGEST.fullmatch(digest)),
        "duration": values["duration"] is None or _is_duration(values["duration"]),
        "format": form is None or (isinstance(form, str) and bool(_FORMAT.fullmatch(form))),
    }
    wrong = next((key for key, is_sound in sound.items() if not is_sound), None)
    return None if wrong is None else f"has a {wrong} that cannot be, {repr(values[wrong])[:80]}"


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= _LONGEST_S and math.isfinite(value)
