# SPDX-License-Identifier: Apache-2.0
"""What a corpus that is not SurgLaVi says of itself: title and licence, in a file beside its database."""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import write_text
from .locate import find_database

INFO_NAME = "corpus.json"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,49}")
_LONGEST = {"title": 200, "description": 2000}


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
