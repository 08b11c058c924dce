# SPDX-License-Identifier: Apache-2.0
"""Cholec80: phases and tools of 80 cholecystectomies.

Labels as the owners ship them: phases for every frame at 25 a second, tools for every 25th; or as PeskaVLP publishes
the phases, one a second with ids from 1. One label a second comes out of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ....options import option
from ..label_reader import Label, LabelReader, Numbering, Row, read_rows

FRAMES_PER_SECOND = 25


@dataclass(frozen=True, kw_only=True)
class Cholec80(LabelReader):
    tree = (
        "phase_annotations/video01-phase.txt, tool_annotations/video01-tool.txt, and videos/video01.mp4 or "
        "frames/video01/000001.png … at 1 frame a second"
    )
    numbering = Numbering(by_name=False)
    _FILES: ClassVar = {
        "phases": ("phase_annotations/{video}-phase.txt", "{video}.csv"),
        "tools": ("tool_annotations/{video}-tool.txt",),
    }

    label_set: Literal["phases", "tools"] = option("phases", "Which of its labels.")

    def videos(self, root: Path) -> list[str]:
        return self.listed(root, self._FILES[self.label_set])

    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        path = self.find(root, video, self._FILES[self.label_set])
        if path.suffix == ".csv":
            return _read_csv(path, video, len(self.classes))
        read = _read_phases if self.label_set == "phases" else _read_tools
        return read(path, self.classes)


def _read_phases(path: Path, phases: Sequence[str]) -> dict[int, Label]:
    labels: dict[int, Label] = {}
    for expected, row in enumerate(read_rows(path, "\t", 2, ("Frame", "Phase"))):
        _check_frame(row, expected)
        if row.cells[1] not in phases:
            raise row.error(f"phase {row.cells[1]!r}, expected one of {', '.join(phases)}")
        if expected % FRAMES_PER_SECOND == 0:
            labels[expected // FRAMES_PER_SECOND] = phases.index(row.cells[1])
    return labels


def _read_tools(path: Path, tools: Sequence[str]) -> dict[int, Label]:
    labels: dict[int, Label] = {}
    for second, row in enumerate(read_rows(path, "\t", 1 + len(tools), ("Frame", *tools))):
        _check_frame(row, second * FRAMES_PER_SECOND)
        labels[second] = tuple(row.integer(1 + place, tool, below=2) for place, tool in enumerate(tools))
    return labels


def _read_csv(path: Path, video: str, num_phases: int) -> dict[int, Label]:
    labels: dict[int, Label] = {}
    for second, row in enumerate(read_rows(path, ",", 2, ("path", "label"))):
        if row.cells[0] != f"{video}_{second}.png":
            raise row.error(f"path {row.cells[0]!r}, expected '{video}_{second}.png'")
        labels[second] = row.integer(1, "label", below=num_phases + 1, least=1) - 1
    return labels


def _check_frame(row: Row, expected: int) -> None:
    if row.integer(0, "frame") != expected:
        raise row.error(f"frame {row.cells[0]}, expected {expected}; rows are missing or out of order")
