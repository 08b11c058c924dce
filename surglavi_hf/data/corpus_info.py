# SPDX-License-Identifier: Apache-2.0
"""What a corpus that is not SurgLaVi says of itself: title and licence; of an annotated one how it came about."""

import json
import os
import re
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import write_text
from ..named_values import each_once
from .database import Level, open_database, read_annotation
from .locate import find_database
from .reviews import REVIEWS_NAME, ReviewLog

INFO_NAME = "corpus.json"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,49}")
_LONGEST = {"title": 200, "description": 2000}
STAGES = ("segment", "filter", "enrich")  # that ask a language model
_LONGEST_NAME, _MOST_NAMES = 200, 200  # Whisper knows 99 languages


@dataclass(frozen=True)
class CorpusInfo:
    """
    Args:
        title: What cards are headed with.
        description: Where clips and captions come from, in a sentence or some.
        license: The Hub's name of it, such as cc-by-4.0; None where it is not said.

    Raises:
        ValueError: a text is empty or too long, or the licence is no such name.
    """

    title: str
    description: str
    license: str | None = None

    def __post_init__(self):
        for name, longest in _LONGEST.items():
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip() or len(value) > longest or not value.isprintable():
                raise ValueError(f"{name} {value!r}, expected a line of at most {longest:,} characters")
        if self.license is not None and not (isinstance(self.license, str) and _LICENSE.fullmatch(self.license)):
            raise ValueError(f"license {self.license!r}, expected the Hub's name of one, such as cc-by-4.0 or mit")

    def write(self, folder: Path) -> None:
        """Writes it beside the database of a folder."""
        write_text(folder / INFO_NAME, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


def read_corpus_info(data_dir: str | os.PathLike) -> CorpusInfo | None:
    """
    Returns what a corpus says of itself; None of SurgLaVi, which has no such file.

    Args:
        data_dir: Folder of its database, or the database.

    Raises:
        FileNotFoundError: there is no database.
        ValueError: the file is damaged.
    """
    path = find_database(data_dir).parent / INFO_NAME
    if not path.is_file():
        return None
    try:
        return info_of(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read ({error}); expected title, description and license") from error


def info_of(content: Any) -> CorpusInfo:
    """Returns what a file holds of a corpus. Raises ValueError or TypeError where it is something else."""
    if not isinstance(content, dict):
        raise ValueError("no object")
    return CorpusInfo(**content)


@dataclass(frozen=True)
class StageInfo:
    """
    A stage that asked a language model.

    Args:
        model: Its name.
        prompt: Name, version and digest.
        left_out: How much has no usable answer, by reason.
    """

    model: str
    prompt: str
    left_out: dict[str, int]


@dataclass(frozen=True)
class ViewInfo:
    """
    The zero-shot model that looked at clips.

    Args:
        model: Its name.
        endoscopic_threshold, surgical_threshold: What a clip had to reach.
        clips: How many were seen.
    """

    model: str
    endoscopic_threshold: float
    surgical_threshold: float
    clips: int


@dataclass(frozen=True)
class AnnotationInfo:
    """
    How the captions of an annotated corpus came about, and how far they were checked.

    Args:
        pipeline_version: Of the package's pipeline.
        sources, languages: Of transcripts, with the number of videos.
        speech_models: That heard them.
        translated: How many transcripts were translated.
        stages: Of [`STAGES`] those that were run, by name.
        visual: None where no model looked at clips.
        captions: Number by level.
        kept: Of these the ones whose flags are both 1.
        identifiers: Likely ones in the transcripts, by kind.
        ungrounded: Captions that name what nothing they were made of has.
        not_checked: What nobody looked at.
        reviewed: Captions that people reviewed.
    """

    pipeline_version: str
    sources: dict[str, int]
    languages: dict[str, int]
    speech_models: tuple[str, ...]
    translated: int
    stages: dict[str, StageInfo]
    visual: ViewInfo | None
    captions: dict[str, int]
    kept: dict[str, int]
    identifiers: dict[str, int]
    ungrounded: int
    not_checked: tuple[str, ...]
    reviewed: int = 0


def read_annotation_info(data_dir: str | os.PathLike) -> AnnotationInfo | None:
    """
    Returns how an annotated corpus came about; None of another.

    Args:
        data_dir: Folder of its database, or the database.

    Raises:
        FileNotFoundError: there is no database.
        OSError, ValueError: it cannot be read, or says something else.
    """
    path = find_database(data_dir)
    with open_database(path) as connection:
        text = read_annotation(connection)
    if text is None:
        return None
    reviews = ReviewLog(path.with_name(REVIEWS_NAME)).read()
    try:
        return annotation_of(json.loads(text, object_pairs_hook=each_once), len({one.caption_id for one in reviews}))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"table annotation of {path} cannot be read ({error}); export it again with surglavi annotate export"
        ) from error


def annotation_of(content: Any, reviewed: int = 0) -> AnnotationInfo:
    """
    Returns what the table `annotation` says; names that are not known are passed over.

    Args:
        content: Its JSON.
        reviewed: Captions that people reviewed.

    Raises:
        ValueError: a value is missing, of another type, too long or not printable.
    """
    about = _Values(content, "annotation")
    transcription, stages = about.values("transcription"), about.values("stages")
    levels = [level.name.lower() for level in Level]
    return AnnotationInfo(
        pipeline_version=about.name("pipeline_version"),
        sources=transcription.counts("sources"),
        languages=transcription.counts("languages"),
        speech_models=transcription.names("models"),
        translated=transcription.count("translated"),
        stages={
            stage: StageInfo(one.name("model"), one.name("prompt"), one.counts("left_out"))
            for stage in STAGES
            if stage in stages.content
            for one in [stages.values(stage)]
        },
        visual=None if about.get("visual") is None else _view_of(about.values("visual")),
        captions={level: about.values("captions").count(level) for level in levels},
        kept={level: about.values("kept").count(level) for level in levels},
        identifiers=about.counts("identifiers"),
        ungrounded=about.count("ungrounded"),
        not_checked=about.names("not_checked"),
        reviewed=reviewed,
    )


def _view_of(values: "_Values") -> ViewInfo:
    thresholds = (values.number(f"{name}_threshold") for name in ("endoscopic", "surgical"))
    return ViewInfo(values.name("model"), *thresholds, clips=values.count("clips"))


class _Values:
    """Values of an object that anybody may have written."""

    def __init__(self, content: Any, where: str):
        if not isinstance(content, Mapping):
            raise ValueError(f"{where} {reprlib.repr(content)}, expected an object")
        self.content, self._where = content, where

    def get(self, key: str) -> Any:
        if key not in self.content:
            raise ValueError(f"{self._where} has no {key}")
        return self.content[key]

    def values(self, key: str) -> "_Values":
        return _Values(self.get(key), key)

    def name(self, key: str) -> str:
        return _name(key, self.get(key))

    def names(self, key: str) -> tuple[str, ...]:
        found = self.get(key)
        if not isinstance(found, list) or len(found) > _MOST_NAMES:
            raise ValueError(f"{key} {reprlib.repr(found)}, expected a list of at most {_MOST_NAMES}")
        return tuple(_name(key, value) for value in found)

    def count(self, key: str) -> int:
        found = self.get(key)
        if type(found) is not int or not 0 <= found < 2**53:
            raise ValueError(f"{key} {reprlib.repr(found)}, expected a whole number from 0")
        return found

    def number(self, key: str) -> float:
        found = self.get(key)
        if type(found) not in (int, float) or not abs(found) <= sys.float_info.max:
            raise ValueError(f"{key} {reprlib.repr(found)}, expected a finite number")
        return float(found)

    def counts(self, key: str) -> dict[str, int]:
        found = self.values(key)
        if len(found.content) > _MOST_NAMES:
            raise ValueError(f"{key} has {len(found.content):,} entries, expected at most {_MOST_NAMES}")
        return {_name(key, name): found.count(name) for name in found.content}


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_NAME or not value.isprintable():
        raise ValueError(f"{key} {reprlib.repr(value)}, expected a line of at most {_LONGEST_NAME} characters")
    return value
