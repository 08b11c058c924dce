# SPDX-License-Identifier: Apache-2.0
"""A benchmark and the reports of its evaluations: ribbons, confusion, a row a video, two models side by side."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation import Benchmark, EvalReport, load_benchmark
from ..evaluation.frame_source import VideoFrames
from ..evaluation.published import measure_table, protocol_rows
from ..media import browser_problem

logger = logging.getLogger(__name__)

_DEEPEST, _LARGEST_REPORT = 5, 64 << 20
_HEAD = b'{\n  "benchmark": '


@dataclass(frozen=True)
class FoundReport:
    """
    Args:
        name: That addresses have: where it lies below the folder that was searched.
        path: The file.
        report: What it says.
    """

    name: str
    path: Path
    report: EvalReport

    @property
    def model(self) -> str:
        return str(self.report.model.get("name") or self.report.model.get("encoder") or "model")


class Reports:
    """
    Args:
        benchmark: A YAML file, or the name of a benchmark.
        folders: Searched for reports of it, such as `surglavi evaluate` and `surglavi compare` write.
        root: Of the data set, by default that of the YAML file.

    Raises:
        FileNotFoundError, ValueError: the benchmark cannot be read.
    """

    def __init__(self, benchmark: str, folders: Sequence[str | os.PathLike] = (), root: str | None = None):
        self._benchmark, self._root = benchmark, root
        self._splits: dict[tuple[str, str | None], Benchmark] = {}
        first = self._load("test", None)
        self.name, self.title, self.kind, self.classes = (
            first.name,
            first.title or first.name,
            first.kind,
            first.classes,
        )
        self.found = _find(self.name, [Path(folder).expanduser() for folder in folders])

    def _load(self, split: str, variant: str | None) -> Benchmark:
        key = (split, variant)
        if key not in self._splits:
            try:
                self._splits[key] = load_benchmark(self._benchmark, self._root, split, variant=variant)
            except FileNotFoundError as error:
                self._splits[key] = load_benchmark(
                    self._benchmark, self._root, split, variant=variant, source="labels"
                )
                logger.warning("%s; showing labels without frames", error)
        return self._splits[key]

    def _of(self, found: FoundReport | None) -> Benchmark:
        if found is None:
            return self._load("test", None)
        protocol = found.report.protocol
        variant = protocol.get("split_variant")
        annotation = protocol.get("annotation") == "common form"  # whose variant is the file
        return self._load(str(protocol.get("split", "test")), None if annotation or variant is None else str(variant))

    def report(self, name: str) -> FoundReport:
        """Returns a report by name. Raises ValueError where there is none."""
        for found in self.found:
            if found.name == name:
                return found
        raise ValueError(f"no report {name[:80]!r} here; run surglavi evaluate, or name its folder with --reports")

    def overview(self) -> dict[str, Any]:
        benchmark = self._of(self.found[0] if self.found else None)
        return {
            "name": self.name,
            "title": self.title,
            "kind": self.kind,
            "classes": list(self.classes),
            "prompts": [list(texts) for texts in benchmark.prompts],
            "videos": [self._about(benchmark, name) for name in benchmark.videos],
            "reports": [
                {
                    "name": found.name,
                    "model": found.model,
                    "task": "probe" if "classifier" in found.report.protocol else "zero-shot",
                    "prompts": str(found.report.protocol.get("prompts", "")),
                    "metrics": {key: found.report.metrics.get(key) for key in _SHOWN if key in found.report.metrics},
                    "intervals": {key: found.report.intervals[key] for key in _SHOWN if key in found.report.intervals},
                    "frames": bool(found.report.predictions),
                }
                for found in self.found
            ],
        }

    def _about(self, benchmark: Benchmark, name: str) -> dict[str, Any]:
        times = benchmark.times(name)
        known = times[~np.isnan(times)]
        return {
            "name": name,
            "frames": len(times),
            "seconds": float(known[-1]) if len(known) else None,
            "video": isinstance(benchmark.videos[name].frames, VideoFrames),
            "pictures": benchmark.videos[name].frames is not None,
        }

    def details(self, name: str) -> dict[str, Any]:
        """Returns all that a report has to show. Raises ValueError where it does not fit the benchmark."""
        found = self.report(name)
        header, rows = measure_table(found.report)
        shown: dict[str, Any] = {
            "name": found.name,
            "model": found.model,
            "measures": {"header": header, "rows": rows},
            "protocol": protocol_rows(found.report),
            "per_video": found.report.per_video,
            "per_class": found.report.per_class,
            "confusion": None,
        }
        if self.kind == "single_label" and found.report.predictions:
            labels = np.concatenate([labels for labels, _ in self._frames(found).values()])
            count = len(self.classes)
            places = labels * count + np.asarray(found.report.predictions)
            shown["confusion"] = np.bincount(places, minlength=count * count).reshape(count, count).tolist()
        return shown

    def _frames(self, found: FoundReport) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Labels and predictions of each video."""
        benchmark, report = self._of(found), found.report
        names = [str(row["video"]) for row in report.per_video] or list(benchmark.videos)
        if unknown := [name for name in names if name not in benchmark.videos]:
            raise ValueError(f"{found.name} is of a video {unknown[0]!r}, which {self.name} has not")
        labels = {name: benchmark.labels(name) for name in names}
        total = sum(map(len, labels.values()))
        if total != len(report.predictions):
            raise ValueError(
                f"{found.name} has predictions of {len(report.predictions):,} frames, and {self.name} has {total:,} "
                "labelled ones now; evaluate again"
            )
        predictions = np.asarray(report.predictions, np.int64)
        if len(predictions) and not 0 <= predictions.min() <= predictions.max() < len(self.classes):
            raise ValueError(f"{found.name} has predictions that are none of the {len(self.classes)} classes")
        parts, start = {}, 0
        for name, of_video in labels.items():
            parts[name] = of_video, predictions[start : start + len(of_video)]
            start += len(of_video)
        return parts

    def video(self, name: str, reports: Sequence[str]) -> dict[str, Any]:
        """
        Returns the labels of a video and what reports predicted, as segments in seconds.

        Args:
            name: Of the video.
            reports: Names, two at most side by side.

        Raises:
            ValueError: there is no such video, or a report does not fit.
        """
        chosen = [self.report(report) for report in reports[:4]]
        benchmark = self._of(chosen[0] if chosen else (self.found[0] if self.found else None))
        if name not in benchmark.videos:
            raise ValueError(f"{self.name} has no video {name[:80]!r}")
        times = benchmark.times(name)
        if np.isnan(times).any():
            times = np.arange(len(times), dtype=float)
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        single = self.kind == "single_label"
        labels = benchmark.labels(name)
        about = self._about(benchmark, name)
        if about["video"]:
            about["video"] = browser_problem(benchmark.videos[name].frames.path) is None  # else frame by frame
        shown = about | {"classes": list(self.classes), "step": step, "reports": []}
        shown["labels"] = _segments(labels, times, step) if single else []
        for found in chosen:
            if not found.report.predictions:
                continue
            predicted = self._frames(found).get(name)
            if predicted is None:
                continue
            wrong = (predicted[0] != predicted[1]).astype(int)
            shown["reports"].append(
                {
                    "name": found.name,
                    "model": found.model,
                    "segments": _segments(predicted[1], times, step),
                    "wrong": [s for s in _segments(wrong, times, step) if s["class"]],
                    "accuracy": float((wrong == 0).mean()) if len(wrong) else None,
                    "per_video": next((row for row in found.report.per_video if row["video"] == name), {}),
                }
            )
        return shown

    def video_path(self, name: str) -> Path:
        """Returns the file of a video. Raises FileNotFoundError where it has none."""
        frames = self._video(name).frames
        if not isinstance(frames, VideoFrames):
            raise FileNotFoundError(f"{name} is no video here, but frames")
        return frames.path

    def picture(self, name: str, seconds: float) -> np.ndarray:
        """
        Returns the listed frame at or before a time, `np.uint8` of shape `(height, width, 3)`.

        Raises:
            FileNotFoundError, ValueError, VideoDecodeError: there is none, or it cannot be read.
        """
        video = self._video(name)
        if video.frames is None:
            raise FileNotFoundError(f"there are no frames of {name} here")
        times = np.asarray(video.times, np.float64)
        if np.isnan(times).any():
            times = np.arange(len(times), dtype=float)
        position = max(0, int(np.searchsorted(times, seconds + 1e-6, side="right")) - 1)
        return video.frames.read([position])[0].permute(1, 2, 0).contiguous().numpy()

    def _video(self, name: str) -> Any:
        for benchmark in self._splits.values():
            if name in benchmark.videos:
                return benchmark.videos[name]
        raise FileNotFoundError(f"{self.name} has no video {name[:80]!r}")


# What a line of the list of reports shows, as far as a report has it.
_SHOWN = (
    *("accuracy_video_mean", "accuracy_all_frames", "macro_f1_video_mean", "macro_f1_all_frames"),
    *("mean_average_precision", "mean_average_precision_video_mean", "edit_video_mean"),
)


def _find(benchmark: str, folders: Sequence[Path]) -> list[FoundReport]:
    found: dict[Path, FoundReport] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.json")) if folder.is_dir() else []:
            relative = path.relative_to(folder)
            if len(relative.parts) > _DEEPEST or path.stat().st_size > _LARGEST_REPORT or path.resolve() in found:
                continue
            with path.open("rb") as file:
                if file.read(len(_HEAD)) != _HEAD:
                    continue
            try:
                report = EvalReport.from_json(path)
            except (ValueError, TypeError, RecursionError) as error:
                logger.warning("%s is not shown: %s", path, error)
                continue
            if report.benchmark == benchmark:
                name = relative.with_suffix("").as_posix()
                taken = {one.name for one in found.values()}
                found[path.resolve()] = FoundReport(
                    name if name not in taken else f"{folder.name}/{name}", path, report
                )
    return list(found.values())


def _segments(values: np.ndarray, times: np.ndarray, step: float) -> list[dict[str, Any]]:
    if not len(values):
        return []
    borders = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    segments = []
    for first, last in pairwise(borders):
        end = times[last] if last < len(times) else times[-1] + step
        segments.append({"start": float(times[first]), "end": float(end), "class": int(values[first])})
    return segments
