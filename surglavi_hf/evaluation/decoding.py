# SPDX-License-Identifier: Apache-2.0
"""What the order of time adds to scores of single frames. Always reported apart from the frame-wise figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax

from ..options import option
from .benchmarks import Benchmark
from .measures import Measured, MeasureOptions, measure_frames
from .metrics import Metrics


@dataclass(frozen=True)
class Decoding:
    """
    Ways to make classes of a video's scores, each measured by itself.

    Args:
        causal: Scores are averaged over so many seconds up to each frame; 0 for none.
        centered: Likewise around each frame, which looks ahead.
        viterbi: The likeliest course of classes over the whole video, by the softmax of scores times the model's scale
            and by how often classes follow one another, frame by frame, in the training split.

    Raises:
        ValueError: a number is out of range.
    """

    causal: float = option(
        0.0,
        "Also decode: scores averaged over so many seconds up to each frame; reported apart.",
        flag="--causal-smoothing",
        metavar="S",
    )
    centered: float = option(
        0.0, "Likewise, around each frame, which looks ahead.", flag="--centered-smoothing", metavar="S"
    )
    viterbi: bool = option(
        False, "Likewise, the likeliest course of classes by the order of classes in the training split."
    )

    def __post_init__(self):
        if not (0 <= self.causal < math.inf and 0 <= self.centered < math.inf):
            raise ValueError(f"causal={self.causal}, centered={self.centered}, expected seconds >= 0")

    def __bool__(self) -> bool:
        return bool(self.causal or self.centered or self.viterbi)


def decode(
    benchmark: Benchmark,
    scores: Sequence[np.ndarray],
    decoding: Decoding,
    measures: MeasureOptions,
    logit_scale: float | None,
    train: Benchmark | None,
) -> list[tuple[dict[str, Any], Measured]]:
    """
    Returns for each way its name, how it is done, metrics and intervals, and what was measured.

    Args:
        benchmark: Of one class a frame.
        scores: Of each of its videos, of shape `(num_frames, num_classes)`.
        decoding: Which ways.
        measures: What is measured.
        logit_scale: What scores are multiplied by before a softmax.
        train: The training split, for `viterbi`; its labels are enough.

    Raises:
        ValueError: frames have several classes, times are not known, or `viterbi` lacks a scale or a training split.
    """
    if not decoding:
        return []
    if benchmark.kind != "single_label":
        raise ValueError(f"{benchmark.name} has several classes a frame; decoding is of one, leave it out")
    times = [benchmark.times(name) for name in benchmark.videos]
    ways: list[tuple[str, str, list[np.ndarray]]] = []
    for name, seconds in (("causal", decoding.causal), ("centered", decoding.centered)):
        if seconds:
            where = "up to" if name == "causal" else "around, looking ahead,"
            found = [smoothed(part, t, seconds, name == "causal") for part, t in zip(scores, times, strict=True)]
            ways.append((f"{name} smoothing", f"mean of scores over {seconds:g} s {where} each frame", found))
    if decoding.viterbi:
        if logit_scale is None or train is None:
            what = "the model says no scale of its scores" if logit_scale is None else "there is no training split"
            raise ValueError(f"{benchmark.name}: {what}, which viterbi needs; leave it out")
        first, following = order_statistics([train.labels(name) for name in train.videos], len(benchmark.classes))
        courses = [viterbi(log_softmax(logit_scale * part, axis=1), first, following) for part in scores]
        how = (
            f"likeliest course over the whole video, looking ahead: softmax of scores times {logit_scale:.4g}, first "
            f"classes and changes from frame to frame counted in {len(train.videos)} training videos, plus 1 each"
        )
        ways.append(("viterbi", how, [np.eye(len(benchmark.classes))[course] for course in courses]))
    labels = [benchmark.labels(name) for name in benchmark.videos]
    decoded = []
    for name, how, values in ways:
        metrics, _, measured = measure_frames(
            *(benchmark.kind, benchmark.classes, list(benchmark.videos), labels, values, measures), times=times
        )
        known: Metrics = dict(metrics)
        decoded.append(({"name": name, "how": how, "metrics": known, "intervals": measured.intervals()}, measured))
    return decoded


def smoothed(scores: np.ndarray, times: np.ndarray, seconds: float, causal: bool) -> np.ndarray:
    """
    Returns the mean of the scores of all labelled frames in a span of time, of the same shape: in `(t - seconds, t]`,
    or within half as many seconds of the frame.

    Args:
        scores: Of shape `(num_frames, num_classes)`.
        times: In seconds, in order, of shape `(num_frames,)`.
        seconds: How long the span is.
        causal: Whether it ends with the frame.

    Raises:
        ValueError: times are not known.
    """
    if np.isnan(times).any():
        raise ValueError("smoothing needs the times of frames, which are not known; leave it out")
    if causal:
        starts, ends = np.searchsorted(times, times - seconds, "right"), np.arange(1, len(times) + 1)
    else:
        starts, ends = (
            np.searchsorted(times, times - seconds / 2, "left"),
            np.searchsorted(times, times + seconds / 2, "right"),
        )
    sums = np.concatenate([np.zeros((1, scores.shape[1])), np.cumsum(scores, axis=0, dtype=np.float64)])
    return (sums[ends] - sums[starts]) / (ends - starts)[:, None]


def order_statistics(labels: Sequence[np.ndarray], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Returns the logarithms of how likely each class is the first of a video, of shape `(num_classes,)`, and follows
    each, from one labelled frame to the next, of shape `(num_classes, num_classes)`; each counted once more than seen.

    Args:
        labels: For each video classes in order of time.
        num_classes: How many there are.
    """
    first, following = np.ones(num_classes), np.ones((num_classes, num_classes))
    for of_video in labels:
        if len(of_video):
            first[of_video[0]] += 1
            np.add.at(following, (of_video[:-1], of_video[1:]), 1)
    return np.log(first / first.sum()), np.log(following / following.sum(axis=1, keepdims=True))


def viterbi(emissions: np.ndarray, first: np.ndarray, following: np.ndarray) -> np.ndarray:
    """
    Returns the course of classes of the largest sum, of shape `(num_frames,)`; of equal ones the lower class.

    Args:
        emissions: Log-probabilities of each frame's classes, of shape `(num_frames, num_classes)`.
        first: Of the first class, of shape `(num_classes,)`.
        following: From each class to the next, of shape `(num_classes, num_classes)`.
    """
    course = np.zeros(len(emissions), np.int64)
    if not len(emissions):
        return course
    best, came_from = first + emissions[0], np.zeros(emissions.shape, np.int64)
    for place in range(1, len(emissions)):
        through = best[:, None] + following  # (from, to)
        came_from[place] = through.argmax(axis=0)
        best = through.max(axis=0) + emissions[place]
    course[-1] = best.argmax()
    for place in range(len(emissions) - 1, 0, -1):
        course[place - 1] = came_from[place, course[place]]
    return course
