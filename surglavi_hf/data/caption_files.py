# SPDX-License-Identifier: Apache-2.0
"""Captions as people have them: tables, JSON lines, subtitles."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import reading
from ..media.identity import named_video
from ..named_values import each_once
from ..text_tables import parse_time, read_table, read_text
from .database import LEVEL_NAMES, Level

SUBTITLES = (".srt", ".vtt")
_TABLES, _LINES = (".csv", ".tsv"), (".jsonl", ".ndjson")
_TIMES = re.compile(r"<(?:\d+:)?\d\d:\d\d\.\d{3}>", re.ASCII)  # of words, in VTT as YouTube writes it
_COLUMNS = ("video", "start", "end", "caption")


@dataclass(frozen=True)
class FoundCaption:
    """
    Args:
        video: As the file names it, without folders and suffix.
        start, end: In seconds.
        caption: The text, its blanks made one.
        level: None where the file does not say.
        where: The file and the line or entry, for messages.
    """

    video: str
    start: float
    end: float
    caption: str
    level: Level | None
    where: str


@dataclass(frozen=True)
class Cue:
    """A subtitle; times in seconds, the text with its line breaks and without tags."""

    start: float
    end: float
    text: str


def read_caption_files(path: Path) -> tuple[list[FoundCaption], list[str]]:
    """
    Returns the captions of a file, or of all files of a folder that have some; and what is wrong with rows that cannot
    be read.

    Args:
        path: A CSV or TSV table or JSON lines with `video`, `start`, `end`, `caption` and maybe `level`; or SRT or
            VTT, which is named as its video is.

    Raises:
        FileNotFoundError: there is no such file, or none of these in the folder.
        ImportError: pysubs2 is not installed, which reads subtitles.
        ValueError: a file is of another kind, or cannot be read.
    """
    kinds = (*_TABLES, *_LINES, *SUBTITLES)
    paths = [path]
    if path.is_dir():
        paths = sorted(file for file in path.iterdir() if file.suffix.lower() in kinds and file.is_file())
        if not paths:
            raise FileNotFoundError(f"no captions in {path}, expected files that end in {', '.join(kinds)}")
    elif not path.is_file():
        raise FileNotFoundError(f"no captions at {path}")
    found: list[FoundCaption] = []
    problems: list[str] = []
    for file in paths:
        suffix = file.suffix.lower()
        if suffix not in kinds:
            raise ValueError(
                f"{file} is no file of captions by its name, expected one that ends in {', '.join(kinds)}"
            )
        rows = _table(file) if suffix in _TABLES else _lines(file) if suffix in _LINES else _subtitles(file)
        for row in rows:
            try:
                found.append(_caption(*row))
            except ValueError as error:
                problems.append(f"{row[0]}: {error}")
    return found, problems


def _table(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in read_table(path, _COLUMNS, ("level",)):
        yield row.where, dict(row.cells)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(read_text(path).replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            content = json.loads(line, object_pairs_hook=each_once)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: no JSON ({error})") from error
        if not isinstance(content, dict):
            raise ValueError(f"{where}: {line[:60]!r}, expected an object with {', '.join(_COLUMNS)}")
        yield where, content


def read_cues(path: Path) -> list[Cue]:
    """
    Returns the subtitles of a file in SRT or VTT, in its order.

    Raises:
        FileNotFoundError: it is not there.
        ImportError: pysubs2 is not installed.
        ValueError: it cannot be read, or has none.
    """
    try:
        import pysubs2
    except ImportError as error:
        raise ImportError("pysubs2 is not installed; pip install 'surglavi-hf[subtitles]'") from error
    with reading(f"{path}", "expected SRT or VTT subtitles"):
        text = _TIMES.sub("", read_text(path))  # pysubs2 takes a line that has two for the times of a subtitle
        cues = pysubs2.SSAFile.from_string(text, format_=path.suffix.lower()[1:])
    if not cues:
        raise ValueError(f"{path} has no subtitles, expected SRT or VTT")
    return [Cue(cue.start / 1000, cue.end / 1000, cue.plaintext) for cue in cues]


def _subtitles(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, cue in enumerate(read_cues(path), start=1):
        values = {"video": path.stem, "start": cue.start, "end": cue.end, "caption": cue.text}
        yield f"{path}, subtitle {number}", values


def _caption(where: str, values: dict[str, Any]) -> FoundCaption:
    if missing := [name for name in _COLUMNS if values.get(name) is None]:
        raise ValueError(f"no {', '.join(missing)}, expected {', '.join(_COLUMNS)}")
    video, caption = values["video"], values["caption"]
    if not isinstance(video, str) or not isinstance(caption, str):
        raise ValueError(f"video {video!r} and caption {str(caption)[:60]!r}, expected texts")
    caption = " ".join(caption.split())
    if not caption:
        raise ValueError("the caption is empty")
    if not caption.isprintable():
        raise ValueError(f"the caption {caption[:60]!r} has control characters")
    start, end = (_time(name, values[name]) for name in ("start", "end"))
    level = values.get("level")
    if level is None or (isinstance(level, str) and not level.strip()):
        level = None
    elif not isinstance(level, str) or level.strip().lower() not in LEVEL_NAMES:
        raise ValueError(f"level {level!r}, expected phase, step or task")
    else:
        level = LEVEL_NAMES[level.strip().lower()]
    return FoundCaption(named_video(video), start, end, caption, level, where)


def _time(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} {value!r}, expected seconds or h:mm:ss")
    try:
        return parse_time(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error


def by_video(captions: Iterable[FoundCaption]) -> dict[str, list[FoundCaption]]:
    """Returns the captions of each video, in the order of first appearance."""
    found: dict[str, list[FoundCaption]] = {}
    for caption in captions:
        found.setdefault(caption.video, []).append(caption)
    return found
