# SPDX-License-Identifier: Apache-2.0
"""A benchmark that has been read: labelled frames, and how to see them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from datasets import ClassLabel, Dataset, Features, List, Value

from ..frame_source import FrameSource
from .label_reader import Kind, Label
from .published_figures import Published

_SAMPLE = 16 * 1024  # bytes; most frames are of a few of these


@dataclass(frozen=True)
class LabelledVideo:
    """
    Args:
        numbers: Of every listed frame, as the owners count them.
        times: Of every listed frame, in seconds.
        labels: By number.
        frames: The listed frames; None where only labels were read.
    """

    numbers: tuple[int, ...]
    times: tuple[float, ...]
    labels: Mapping[int, Label]
    frames: FrameSource | None


@dataclass(frozen=True, eq=False)
class Benchmark:
    """
    One column of the published tables, or one like them.

    Args:
        name: As [`load_benchmark`] takes it.
        kind: "single_label", "multi_label" or "triplet".
        classes: Names, by class index.
        prompts: For each class one text or more.
        videos: By name, in order.
        protocol: The choices made in reading it.
        title: What reports are headed with.
        published: What is published on it.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    videos: Mapping[str, LabelledVideo]
    protocol: Mapping[str, str | int | float | bool | None]
    title: str = ""
    published: Published = field(default_factory=Published)

    @cached_property
    def rows(self) -> Dataset:
        """
        The labelled frames, video by video in order of time: `video`, `time` in seconds, `frame` (its number, as the
        owners count), `position` (its place among the frames that are listed, windows are made of these), `label` (a
        class, or 0 and 1 for every class).
        """
        columns: dict[str, list] = {name: [] for name in ("video", "time", "frame", "position", "label")}
        for name, video in self.videos.items():
            positions = self.positions(name)
            columns["video"] += [name] * len(positions)
            columns["time"] += [video.times[position] for position in positions]
            columns["frame"] += [video.numbers[position] for position in positions]
            columns["position"] += positions
            columns["label"] += [video.labels[video.numbers[position]] for position in positions]
        single = self.kind == "single_label"
        features = Features(
            video=Value("string"),
            time=Value("float64"),
            frame=Value("int64"),
            position=Value("int64"),
            label=ClassLabel(names=list(self.classes)) if single else List(Value("int8"), length=len(self.classes)),
        )
        return Dataset.from_dict(columns, features=features)

    def positions(self, video: str) -> list[int]:
        """Returns which of a video's listed frames have labels."""
        labelled = self.videos[video]
        return [place for place, number in enumerate(labelled.numbers) if number in labelled.labels]

    def labels(self, video: str) -> np.ndarray:
        """Returns the labels of a video: of shape `(num_frames,)`, or `(num_frames, num_classes)` of 0 and 1."""
        labelled = self.videos[video]
        values = [labelled.labels[number] for number in labelled.numbers if number in labelled.labels]
        shape = (-1,) if self.kind == "single_label" else (-1, len(self.classes))
        return np.asarray(values, dtype=np.int64).reshape(shape)

    def times(self, video: str) -> np.ndarray:
        """Returns the times of a video's labelled frames in seconds, of shape `(num_frames,)`; NaN of unknown ones."""
        return np.array([self.videos[video].times[position] for position in self.positions(video)])

    def select(self, videos: list[str]) -> "Benchmark":
        """
        Returns the benchmark with these videos alone.

        Raises:
            ValueError: one is not of it.
        """
        if unknown := [name for name in videos if name not in self.videos]:
            raise ValueError(f"{self.name} has no video {unknown[0]!r}, expected some of {', '.join(self.videos)}")
        chosen = {name: self.videos[name] for name in videos}
        return replace(self, videos=chosen, protocol={**self.protocol, "videos": ", ".join(chosen), **counts(chosen)})

    def with_prompts(self, prompts: tuple[tuple[str, ...], ...], source: str) -> "Benchmark":
        """Returns the benchmark with other prompts for its classes, and a line that says where they come from."""
        protocol = {**self.protocol, "prompts": source, "prompts_per_class": max(map(len, prompts))}
        other = replace(self, prompts=prompts, protocol=protocol)
        vars(other)["fingerprint"] = self.fingerprint  # which is not of prompts, and reads every file
        return other

    @cached_property
    def fingerprint(self) -> str:
        """
        A digest of classes, labels, listed frames, and of the files their names, sizes, and bytes at the beginning, in
        the middle and at the end.
        """
        digest = hashlib.sha256(repr((self.name, self.kind, self.classes)).encode())
        for name, video in self.videos.items():
            digest.update(repr((name, video.numbers, video.times, sorted(video.labels.items()))).encode())
            for path in video.frames.files() if video.frames is not None else []:
                size = path.stat().st_size
                digest.update(repr((path.name, size)).encode())
                with path.open("rb") as file:
                    for start in sorted({0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)}):
                        file.seek(start)
                        digest.update(file.read(_SAMPLE))
        return digest.hexdigest()[:16]


def counts(videos: Mapping[str, LabelledVideo]) -> dict[str, int]:
    """Returns how many videos and frames there are, for a report."""
    return {
        "num_videos": len(videos),
        "num_labelled_frames": sum(len(video.labels) for video in videos.values()),
        "num_listed_frames": sum(len(video.numbers) for video in videos.values()),
    }
