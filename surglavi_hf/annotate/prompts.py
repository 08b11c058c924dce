# SPDX-License-Identifier: Apache-2.0
"""What the language model is told, a file a stage. Those of the SurgLaVi paper are not public; these are ours."""

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..text_tables import read_text

STAGES = ("segment", "filter", "enrich")  # that ask a language model
_VERSION = re.compile(r"version: ([\w.-]{1,40})\n\s*\n")
_LONGEST = 50_000  # characters


@dataclass(frozen=True)
class Prompt:
    """
    Args:
        stage: That it is of.
        version: As its file says.
        text: What the model is told.
    """

    stage: str
    version: str
    text: str

    @property
    def identity(self) -> str:
        """Its version and a digest of its text, since a text may change without its version."""
        return f"{self.stage} {self.version}-{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_prompt(stage: str, folder: str | os.PathLike | None = None) -> Prompt:
    """
    Returns the prompt of a stage.

    Args:
        stage: One of `STAGES`.
        folder: Whose files `segment.md`, `filter.md` and `enrich.md` replace ours, those that are there.

    Raises:
        FileNotFoundError: the folder is not there, or has none of them.
        ValueError: a file does not begin with its version, or is empty or too long.
    """
    path = Path(str(files(__package__) / "prompts")) / f"{stage}.md"
    if folder is not None:
        folder = Path(os.path.expanduser(folder))
        if not any((folder / f"{one}.md").is_file() for one in STAGES):
            expected = ", ".join(f"{one}.md" for one in STAGES)
            raise FileNotFoundError(f"no prompts in {folder}, expected some of {expected}")
        path = folder / f"{stage}.md" if (folder / f"{stage}.md").is_file() else path
    text = read_text(path).replace("\r\n", "\n")
    found = _VERSION.match(text)
    if found is None:
        raise ValueError(
            f"{path} does not say its version; begin it with a line such as 'version: 1' and an empty one"
        )
    text = text[found.end() :].strip()
    if not 1 <= len(text) <= _LONGEST:
        raise ValueError(f"{path}: a prompt of {len(text):,} characters, expected 1 to {_LONGEST:,}")
    return Prompt(stage, found[1], text)
