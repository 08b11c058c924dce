# SPDX-License-Identifier: Apache-2.0
"""The corpus that is annotated: its videos, what was said in them, and the ledger of what was asked."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..data import find_database
from ..data.database import open_database, read_videos
from ..media import VideoLibrary
from .identifiers import mask
from .ledger import LEDGER_NAME, Ledger
from .prompts import STAGES, Prompt
from .transcripts import FOLDER, Sentence, Transcript, read_transcripts, sentences_of

PIPELINE_VERSION = "1"  # of the code between the questions; raised when it finds other things in the same answers
_LONGEST_ABOUT = 300  # characters


@dataclass(frozen=True)
class StageSettings:
    """
    What a stage that asks a language model was run with.

    Args:
        model: With its parameters, as it is in the ledger.
        model_name: Alone.
        prompt: It was told.
        size: Sentences of a window, segments of a question.
        masked: Whether likely identifiers of persons are not sent.
    """

    model: str
    model_name: str
    prompt: Prompt
    size: int
    masked: bool = False

    def sent(self, text: str) -> str:
        """Returns a text as it is sent."""
        return mask(text) if self.masked else text

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "StageSettings":
        return cls(**{**values, "prompt": Prompt(**values["prompt"])})


@dataclass
class AnnotatedCorpus:
    """
    Args:
        database: Of the videos.
        ledger: Of what was asked.
    """

    database: Path
    ledger: Ledger

    @property
    def library(self) -> VideoLibrary:
        return VideoLibrary(self.database.parent)

    @cached_property
    def all_rows(self) -> list[dict[str, Any]]:
        """The table of videos, in its order."""
        with open_database(self.database) as connection:
            return read_videos(connection).to_pylist()

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Those that have a file of their own: with a name, of equal names the first."""
        found: dict[str, dict[str, Any]] = {}
        for row in self.all_rows:
            if row["name"]:
                found.setdefault(row["name"], row)
        return list(found.values())

    @cached_property
    def transcripts(self) -> dict[str, Transcript]:
        """By the name of their video, in the order of the videos."""
        there = read_transcripts(self.database.parent)
        return {row["name"]: there[row["name"]] for row in self.rows if row["name"] in there}

    @cached_property
    def sentences(self) -> dict[str, list[Sentence]]:
        """By the name of their video; of those whose transcript has words."""
        return {name: sentences_of(one) for name, one in self.transcripts.items() if one.words}

    @cached_property
    def about(self) -> dict[str, dict[str, str | None]]:
        """What is told of a video beside its narration, by name."""
        return {row["name"]: {"title": _line(row["title"]), "procedure": _procedure(row)} for row in self.rows}

    def settings(self, stage: str) -> StageSettings | None:
        """Returns what a stage was run with last, None where it never was."""
        values = self.ledger.settings(stage)
        return StageSettings.of(values) if values is not None else None


@contextmanager
def open_corpus(data_dir: str | os.PathLike, to_write: bool = False) -> Iterator[AnnotatedCorpus]:
    """
    Opens a corpus.

    Args:
        data_dir: Folder of its database.
        to_write: Whether something is asked; others are kept from that meanwhile.

    Raises:
        FileNotFoundError, OSError, ValueError: the database or the ledger cannot be read.
        BlockingIOError: another one is at work on it.
    """
    database = find_database(data_dir)
    library = VideoLibrary(database.parent)
    path = library.root / FOLDER / LEDGER_NAME
    if to_write:
        with library.lock("annotate"), Ledger(path) as ledger:
            yield AnnotatedCorpus(database, ledger)
    else:
        with Ledger(path) as ledger:
            yield AnnotatedCorpus(database, ledger)


def missing_stage(stage: str, database: Path) -> ValueError:
    """Returns the error of a stage whose predecessor was not run."""
    before = ("transcribe", *STAGES)[("transcribe", *STAGES).index(stage) - 1] if stage in STAGES else "segment"
    return ValueError(f"nothing to {stage} in {database.parent}; run surglavi annotate {before} first")


def _line(text: str | None) -> str | None:
    words = "".join(one if one.isprintable() else " " for one in text or "").split()
    return " ".join(words)[:_LONGEST_ABOUT] or None


def _procedure(row: Mapping[str, Any]) -> str | None:
    parts = [_line(row[name]) for name in ("procedure_modality", "procedure_type", "specialty", "subject")]
    return ", ".join(dict.fromkeys(filter(None, parts))) or None
