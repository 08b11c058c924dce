# SPDX-License-Identifier: Apache-2.0
"""AutoLaparo, task 1: phases of 21 hysterectomies. One label a second; frames and phases count from 1.

Frame n is second n - 1 of the video and file n of a folder of frames; PeskaVLP's loader, which adds 1, is off by one.
"""

from collections.abc import Mapping
from pathlib import Path

from ..label_reader import Label, LabelReader, Numbering, read_rows


class AutoLaparo(LabelReader):
    tree = "labels/label_01.txt, and videos/01.mp4 or frames/01/0001.jpg … at 1 frame a second"
    numbering = Numbering(first=1, origin=1)
    _FILES = ("labels/label_{video}.txt", "{video}.csv")

    def videos(self, root: Path) -> list[str]:
        return self.listed(root, self._FILES)

    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        path = self.find(root, video, self._FILES)
        native = path.suffix == ".txt"
        rows = read_rows(path, "\t", 2, ("Frame", "Phase")) if native else read_rows(path, ",", 2, ("path", "label"))
        labels: dict[int, Label] = {}
        for number, row in enumerate(rows, start=1):
            expected = str(number) if native else f"{video}_{number}.png"
            if (str(row.integer(0, "frame", least=1)) if native else row.cells[0]) != expected:
                raise row.error(f"frame {row.cells[0]!r}, expected {expected!r}; rows are missing or out of order")
            labels[number] = row.integer(1, "phase", below=len(self.classes) + 1, least=1) - 1
        return labels
