# SPDX-License-Identifier: Apache-2.0
"""HeiChole: phases and instrument categories of 24 cholecystectomies, one row for each frame at 25 a second.

What the instrument columns mean is read differently by different loaders: the variant says which reading is taken.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ....options import option
from ..label_reader import Label, LabelReader, Numbering, Row, read_rows

FRAMES_PER_SECOND = 25
NUM_PHASES, NUM_TOOLS = 7, 7
_KINDS = {"phases": "phase", "tools": "instrument"}
_FOLDERS = (".", "annotations", "Annotations", "Annotations/Phase", "Annotations/Instrument")


@dataclass(frozen=True, kw_only=True)
class HeiChole(LabelReader):
    tree = (
        "Hei-Chole1_Annotation_Phase.csv and Hei-Chole1_Annotation_Instrument.csv there or in annotations/, and "
        "videos/Hei-Chole1.mp4 or frames/Hei-Chole1/00001.png … at 1 frame a second"
    )
    numbering = Numbering(by_name=False)

    label_set: Literal["phases", "tools"] = option("phases", "Which of its labels.")

    def videos(self, root: Path) -> list[str]:
        return sorted(_files(root, self), key=lambda name: int(name.removeprefix("Hei-Chole")))

    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        files = _files(root, self)
        if video not in files:
            raise self.missing(f"{video}_Annotation_{_KINDS[self.label_set].capitalize()}.csv", root)
        labels: dict[int, Label] = {}
        for frame, row in enumerate(read_rows(files[video], ",", 2 if self.label_set == "phases" else None)):
            if row.integer(0, "frame") != frame:
                raise row.error(f"frame {row.cells[0]}, expected {frame}; rows are missing or out of order")
            if frame % FRAMES_PER_SECOND == 0:
                phases = self.label_set == "phases"
                label = row.integer(1, "phase", below=NUM_PHASES) if phases else _tools(row, variant)
                labels[frame // FRAMES_PER_SECOND] = label
        return labels


def _files(root: Path, form: HeiChole) -> dict[str, Path]:
    """Annotation files by video; their names come in upper and lower case."""
    pattern = re.compile(rf"hei-chole(\d+)_annotation_{_KINDS[form.label_set]}\.csv", re.IGNORECASE | re.ASCII)
    found = {}
    for folder in (root / name for name in _FOLDERS):
        for name in os.listdir(folder) if folder.is_dir() else []:
            if match := pattern.fullmatch(name):
                found[f"Hei-Chole{int(match[1])}"] = folder / name
    if not found:
        raise form.missing(f"Hei-Chole1_Annotation_{_KINDS[form.label_set].capitalize()}.csv", root)
    return found


def _tools(row: Row, variant: str) -> tuple[int, ...]:
    width = 1 if variant == "first-seven" else 3
    if len(row.cells) < 1 + width * NUM_TOOLS:
        raise row.error(f"{len(row.cells)} cells, expected the frame and at least {width * NUM_TOOLS} ({variant})")
    values = [row.integer(1 + place, "instrument", below=2) for place in range(width * NUM_TOOLS)]
    return tuple(max(values[place : place + width]) for place in range(0, len(values), width))
