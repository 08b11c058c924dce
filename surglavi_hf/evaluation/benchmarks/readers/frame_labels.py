# SPDX-License-Identifier: Apache-2.0
"""A label for every frame, or for every second: a file a video, of a line each.

With a first line that names the columns it is a table, as of [`read_table`]: `label`, and `frame` where frames are
numbered; of several classes a frame a column each, of 0 and 1. Without one, a line is a label, or a number and a
label.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....options import option
from ....text_tables import TableRow, read_table, read_text
from ..intervals import OwnLabels
from ..label_reader import Label, files_by_video


@dataclass(frozen=True, kw_only=True)
class FrameLabels(OwnLabels):
    tree = "a file of labels for each video, and videos/VIDEO.mp4 or frames/VIDEO/000000.png …"

    files: str = option("labels/{video}.csv", "The file of each video, below the root.")
    labels_per_second: float = option(1.0, "Lines for a second: 1, or the frames a second of the video.")
    frame_column: str = option("frame", "Name of the column of numbers, where there is one.")
    label_column: str = option("label", "Name of the column of labels.")

    def __post_init__(self):
        super().__post_init__()
        self.check_file_of_each(self.files)
        step = self.labels_per_second / self.fps
        if not self.labels_per_second > 0 or abs(step - round(step)) > 1e-9 or round(step) < 1:
            raise ValueError(
                f"labels_per_second={self.labels_per_second:g} and fps={self.fps:g}, expected a whole number of "
                "labels for each evaluated frame"
            )

    def videos(self, root: Path) -> list[str]:
        found = list(files_by_video(root, self.files))
        if not found:
            raise self.missing(self.files.format(video="VIDEO"), root)
        return found

    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        path = root / self.files.format(video=video)
        if not path.is_file():
            raise self.missing(self.files.format(video=video), root)
        rows = self._rows(path)
        step, labels = round(self.labels_per_second / self.fps), {}
        for place, row in enumerate(rows):
            label = self._several(row) if self.kind != "single_label" else self._one(row)
            if label is not None and place % step == 0:
                labels[place // step] = label
        if not rows:
            raise ValueError(f"{path} has no labels")
        return labels

    def _rows(self, path: Path) -> list[TableRow]:
        """The rows in order of time, none missing."""
        several = self.kind != "single_label"
        columns = list(self.classes) if several else [self.label_column]
        try:
            rows = read_table(path, columns, [self.frame_column])
        except ValueError:
            if several or self._has_header(path):
                raise
            rows = self._bare(path)
        first = None
        for place, row in enumerate(rows):
            number = row.cells.get(self.frame_column)
            if number is None:
                break
            if not re.fullmatch(r"\d+(\.0+)?", number, re.ASCII):
                raise row.error(f"{self.frame_column} {number!r}, expected a whole number")
            if first is None:
                first = int(float(number))
                if first > 1:
                    raise row.error(f"{self.frame_column} {number}, expected the first to be 0 or 1")
            if int(float(number)) != first + place:
                raise row.error(f"{self.frame_column} {number}, expected {first + place}; lines are missing or mixed")
        return rows

    def _has_header(self, path: Path) -> bool:
        first = next((line for line in read_text(path).splitlines() if line.strip()), "")
        return self.label_column.casefold() in re.split(r"[,;\t]", first.casefold().replace(" ", ""))

    def _bare(self, path: Path) -> list[TableRow]:
        lines = read_text(path).replace("\r\n", "\n").split("\n")
        rows = []
        for line, text in enumerate(lines, start=1):
            if not text.strip() and not any(later.strip() for later in lines[line:]):
                break
            delimiter = next((mark for mark in "\t;," if mark in text), ",")
            cells = [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [""])]
            if self._place(text) is not None:  # a name that has a comma
                cells = [text.strip()]
            if len(cells) > 2:
                raise ValueError(f"{path}, line {line}: {len(cells)} cells, expected a label, or a number and a label")
            names = (self.label_column,) if len(cells) == 1 else (self.frame_column, self.label_column)
            rows.append(TableRow(f"{path}, line {line}", dict(zip(names, cells, strict=True))))
        return rows

    def _one(self, row: TableRow) -> int | None:
        text = row.cells[self.label_column]
        return self.class_of(text, row.where) if text else None

    def _several(self, row: TableRow) -> tuple[int, ...]:
        values = [row.cells[name] for name in self.classes]
        for name, value in zip(self.classes, values, strict=True):
            if value not in ("0", "1", "0.0", "1.0"):
                raise row.error(f"{name} {value!r}, expected 0 or 1")
        return tuple(int(float(value)) for value in values)

    def labels_of(self, video: str, labels: Mapping[int, Label], listed: Sequence[int]) -> Mapping[int, Label]:
        past = [number for number in labels if number > listed[-1]] if listed else []
        if len(past) > max(1, round(self.fps)):
            raise ValueError(
                f"{video} has labels for {(max(past) + 1) / self.fps:g} s, and its frames end at "
                f"{(listed[-1] + 1) / self.fps:g} s; see whether they are of this video, and labels_per_second"
            )
        return super().labels_of(video, labels, listed)
