# SPDX-License-Identifier: Apache-2.0
"""A table of segments: `video,start,end,label`, in one file or one a video; CSV or TSV, as spreadsheets write it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ....media.identity import named_video
from ....options import option
from ....text_tables import TableRow, read_table
from ..intervals import Interval, IntervalReader, refuse_all
from ..label_reader import files_by_video


@dataclass(frozen=True, kw_only=True)
class Segments(IntervalReader):
    files: str = option(
        "labels.csv", "The table, below the root; with {video} a file for each, whose column of videos may be absent."
    )
    frames_per_second: float | None = option(None, "Times are numbers of frames at this rate, not seconds or h:mm:ss.")
    ends: Literal["excluded", "included"] = option(
        "excluded", "Whether the last frame counts, where times are frames."
    )
    video_column: str = option("video", "Name of a column.")
    start_column: str = option("start", "Name of a column.")
    end_column: str = option("end", "Name of a column.")
    label_column: str = option("label", "Name of a column.")

    def __post_init__(self):
        super().__post_init__()
        if self.frames_per_second is not None and not self.frames_per_second > 0:
            raise ValueError(f"frames_per_second={self.frames_per_second}, expected a rate such as 25")
        if self.ends == "included" and self.frames_per_second is None:
            raise ValueError("ends: included is of frames; give frames_per_second, or leave it out")

    def read_intervals(self, root: Path) -> Mapping[str, list[Interval]]:
        columns = [self.start_column, self.end_column, self.label_column]
        found: dict[str, list[Interval]] = {}
        if "{video}" in self.files:
            for video, path in files_by_video(root, self.files).items():
                rows = read_table(path, columns, [self.video_column])
                found[video] = self._read(rows, video)
            if not found:
                raise self.missing(self.files.format(video="VIDEO"), root)
            return found
        path = root / self.files
        if not path.is_file():
            raise self.missing(self.files, root)
        by_video: dict[str, list[TableRow]] = {}
        for row in read_table(path, [self.video_column, *columns]):
            if not (video := named_video(row.cells[self.video_column])):
                raise row.error(f"no {self.video_column}, expected a video's name")
            by_video.setdefault(video, []).append(row)
        return {video: self._read(rows, video) for video, rows in by_video.items()}

    def _read(self, rows: list[TableRow], video: str) -> list[Interval]:
        intervals, problems = [], []
        for row in rows:
            named = row.cells.get(self.video_column)
            if named and named_video(named) != video:
                problems.append(
                    f"{row.where}: {self.video_column} {named!r}, expected {video!r} as the file's name has"
                )
                continue
            try:
                start, end = (row.time(name, self.frames_per_second) for name in (self.start_column, self.end_column))
            except ValueError as error:
                problems.append(str(error))
                continue
            if self.ends == "included":
                end += 1 / (self.frames_per_second or 1)
            intervals.append(Interval(start, end, row.cells[self.label_column], row.where))
        refuse_all(problems)
        return intervals
