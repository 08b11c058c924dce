# SPDX-License-Identifier: Apache-2.0
"""BORIS: exports of events as CSV or TSV, tabular (a line for each START and STOP) or aggregated (one an interval).

The columns are those of BORIS 7 and 8 (`export_events.py` and `export_observation.py` of boris-behav-obs 8.27); lines
before the one that names them are passed over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....media.identity import named_video
from ....options import option
from ....text_tables import TableRow, read_table
from ..intervals import Interval, IntervalReader, refuse_all

_OBSERVATION, _BEHAVIOR, _SUBJECT, _OFFSET = "Observation id", "Behavior", "Subject", "Time offset (s)"
_MEDIA = ("Media file name", "Media file path", "Media file")
_KIND = ("Behavior type", "Status")
_START, _STOP, _TIME = "Start (s)", "Stop (s)", "Time"


@dataclass(frozen=True, kw_only=True)
class Boris(IntervalReader):
    files: str = option("labels/*.csv", "The exports, below the root; * stands for any name.")
    subject: str | None = option(None, "Events of this subject alone, where there are several.")

    def read_intervals(self, root: Path) -> Mapping[str, list[Interval]]:
        paths = [path for path in sorted(root.glob(self.files)) if path.is_file()]
        if not paths:
            raise self.missing(self.files, root)
        found: dict[str, list[Interval]] = {}
        seen: dict[str, Path] = {}
        for path in paths:
            for video, intervals in self._read(path).items():
                if (other := seen.setdefault(video, path)) != path:
                    raise ValueError(f"video {video!r} has events in {other} and in {path}; keep one of them")
                found.setdefault(video, []).extend(intervals)
        return found

    def points(self, root: Path) -> list[str]:
        """Returns the behaviors that are points in time, which are no intervals."""
        rows = [row for path in sorted(root.glob(self.files)) for row in _rows(path)[0]]
        return list(dict.fromkeys(row.cells[_BEHAVIOR] for row in rows if _kind(row) == "POINT"))

    def _read(self, path: Path) -> Mapping[str, list[Interval]]:
        rows, aggregated = _rows(path)
        rows = [row for row in rows if self.subject is None or row.cells.get(_SUBJECT) == self.subject]
        subjects = {row.cells.get(_SUBJECT, "") for row in rows}
        if len(subjects) > 1:
            raise ValueError(
                f"{path} has events of {len(subjects)} subjects ({', '.join(sorted(subjects))}); give subject"
            )
        refuse_all(
            [f"{row.where}: time offset {row.cells[_OFFSET]} s; export it with none" for row in rows if _shifted(row)]
        )
        by_video: dict[str, list[TableRow]] = {}
        for row in rows:
            by_video.setdefault(_video(row), []).append(row)
        make = self._aggregated if aggregated else self._tabular
        return {video: make(of_video) for video, of_video in by_video.items()}

    def _aggregated(self, rows: Sequence[TableRow]) -> list[Interval]:
        self._refuse_points(rows)
        return [
            Interval(row.time(_START), row.time(_STOP), row.cells[_BEHAVIOR], row.where)
            for row in rows
            if _kind(row) != "POINT"
        ]

    def _tabular(self, rows: Sequence[TableRow]) -> list[Interval]:
        self._refuse_points(rows)
        started: dict[str, TableRow] = {}
        intervals = []
        for row in sorted(rows, key=lambda row: row.time(_TIME)):
            behavior, kind = row.cells[_BEHAVIOR], _kind(row)
            if kind == "START":
                if other := started.get(behavior):
                    raise row.error(
                        f"{behavior!r} starts again, after {other.where.rpartition(', ')[2]}, with no stop"
                    )
                started[behavior] = row
            elif kind == "STOP":
                if behavior not in started:
                    raise row.error(f"{behavior!r} stops, and has not started")
                begun = started.pop(behavior)
                intervals.append(Interval(begun.time(_TIME), row.time(_TIME), behavior, begun.where))
            elif kind != "POINT":
                raise row.error(f"{' or '.join(_KIND)} {kind!r}, expected START, STOP or POINT")
        refuse_all([f"{row.where}: {behavior!r} starts, and has no stop" for behavior, row in started.items()])
        return intervals

    def _refuse_points(self, rows: Sequence[TableRow]) -> None:
        points = [row for row in rows if _kind(row) == "POINT"]
        refuse_all(
            [
                f"{row.where}: {row.cells[_BEHAVIOR]!r} is a point, which lasts no time; put it under ignore"
                for row in points
                if self.class_of(row.cells[_BEHAVIOR], row.where) is not None
            ]
        )


def _rows(path: Path) -> tuple[list[TableRow], bool]:
    """The rows of an export, and whether it is aggregated."""
    optional = [_OBSERVATION, _SUBJECT, _OFFSET, *_MEDIA, *_KIND]
    try:
        return read_table(path, [_BEHAVIOR, _START, _STOP], optional, preamble=True), True
    except ValueError:
        return read_table(path, [_BEHAVIOR, _TIME], optional, preamble=True), False


def _kind(row: TableRow) -> str:
    return next((row.cells[name].upper() for name in _KIND if name in row.cells), "STATE")


def _shifted(row: TableRow) -> bool:
    return row.cells.get(_OFFSET, "") not in ("", "NA") and row.time(_OFFSET) != 0


def _video(row: TableRow) -> str:
    for name in (*_MEDIA, _OBSERVATION):
        if (text := row.cells.get(name, "")) not in ("", "NA"):
            return named_video(text)
    raise row.error(f"no {_MEDIA[0]} and no {_OBSERVATION}, expected one that names the video")
