# SPDX-License-Identifier: Apache-2.0
"""What papers on surgical workflow report beside accuracy and F1, video by video, with intervals over videos.

Everything is of labelled frames alone, in order of time; where frames between them have no label, what is around
closes up. Video means are means over videos of a measure of each, standard deviations are over videos (ddof 1), and
intervals are percentiles of a bootstrap that draws whole videos.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.special import softmax

from ..options import option
from .benchmarks.label_reader import Kind
from .metrics import (
    AbsentClasses,
    ClassTable,
    Metrics,
    average_precision,
    multi_label_metrics,
    single_label_metrics,
    triplet_metrics,
)

OVERLAPS = (10, 25, 50)  # %, of F1@k
CALIBRATION_BINS = 15  # as Guo et al. 2017
CONFIDENCE = 95  # %

Value = float | None
Table = list[dict[str, str | int | float | None]]


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured, and what a class counts that is not there."""

    absent_classes: AbsentClasses = option(
        "official",
        "What a class counts that is not there: official: F1 and the like are 0 of a class that neither is there nor "
        "is predicted, and average precision is left out; zero or left_out for all.",
    )
    relaxed_boundary: float = option(
        0.0,
        "Also measure with relaxed boundaries, as challenges do: within so many seconds of a true change of class the "
        "class on its other side counts, too; 10 is customary.",
        metavar="S",
        least=0,
    )
    resamples: int = option(1000, "Draws of videos for the 95 % intervals; 0 for none.", metavar="N", least=0)

    def protocol(self, num_videos: int, kind: str) -> dict[str, str | int | float]:
        """Returns what a report says of these choices."""
        chosen: dict[str, str | int | float] = {"absent_classes": self.absent_classes}
        chosen["spread"] = "standard deviation over videos, ddof 1" if num_videos > 1 else "none: one video"
        chosen["intervals"] = (
            f"{CONFIDENCE} %, percentiles of {self.resamples} bootstrap draws of whole videos, seed 0"
            if self.resamples and num_videos > 1
            else "none: one video"
            if self.resamples
            else "none, as asked"
        )
        if kind == "single_label":
            chosen["segments"] = "runs of one class among labelled frames; edit and F1@k as Lea et al. 2017"
            chosen["relaxed_boundary"] = (
                f"within {self.relaxed_boundary:g} s of a true change of class the class on its other side counts "
                "(M2CAI challenge, of neighbouring segments rather than of neighbouring numbers)"
                if self.relaxed_boundary
                else "none"
            )
        return chosen


@dataclass
class Measured:
    """
    Args:
        values: Measures by name.
        draws: Of each, its values in the bootstrap's draws, of shape `(resamples,)`; none where there is no interval.
        per_video: A row for each video.
    """

    values: dict[str, Value] = field(default_factory=dict)
    draws: dict[str, np.ndarray] = field(default_factory=dict)
    per_video: Table = field(default_factory=list)

    def intervals(self) -> dict[str, list[float]]:
        """Returns of each measure that has draws the ends of its interval."""
        ends = (50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2)
        return {
            name: [float(end) for end in np.nanpercentile(draws, ends)]
            for name, draws in self.draws.items()
            if not np.isnan(draws).all()
        }


def calibration_protocol(logit_scale: float | None) -> str:
    """Returns what a report says of probabilities and their calibration."""
    if logit_scale is None:
        return "none: the model says no scale of its cosine similarities"
    return (
        f"expected calibration error of the softmax of scores times {logit_scale:.4g}, the model's own scale; "
        f"{CALIBRATION_BINS} bins of equal width"
    )


def measure_frames(
    kind: Kind,
    classes: Sequence[str],
    names: Sequence[str],
    labels: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    options: MeasureOptions,
    times: Sequence[np.ndarray] | None = None,
    logit_scale: float | None = None,
) -> tuple[Metrics, ClassTable, Measured]:
    """
    Returns the figures of scores of labelled frames, a row for each class, and what else is measured of them.

    Args:
        kind: "single_label", where the class of the highest score is predicted; "multi_label" or "triplet".
        classes: Names.
        names: Of the videos.
        labels: For each video classes, of shape `(num_frames,)`, or 0 and 1, of shape `(num_frames, num_classes)`.
        scores: Of shape `(num_frames, num_classes)`.
        options: What is measured.
        times: Of the frames in seconds, for relaxed boundaries.
        logit_scale: What scores are multiplied by before a softmax, for the calibration error.
    """
    if kind != "single_label":
        measure = triplet_metrics if kind == "triplet" else multi_label_metrics
        metrics, table = measure(labels, scores, classes, options.absent_classes)
        measured = measure_multi_label(labels, scores, names, options)
        if kind == "triplet":
            measured.values = {f"triplet_{name}": value for name, value in measured.values.items()}
            measured.draws = {f"triplet_{name}": draws for name, draws in measured.draws.items()}
        return {**measured.values, **metrics}, table, measured
    predictions = [values.argmax(axis=1) for values in scores]
    metrics, table = single_label_metrics(labels, predictions, classes, options.absent_classes)
    probabilities = None if logit_scale is None else [softmax(logit_scale * values, axis=1) for values in scores]
    measured = measure_single_label(labels, predictions, len(classes), names, options, times, probabilities)
    for row in table:
        if row.get("f1") is not None:
            row["jaccard"] = row["f1"] / (2 - row["f1"])
    return {**measured.values, **metrics}, table, measured


def mean_of_draws(found: Sequence[Measured]) -> Measured:
    """Returns the means of what several classifiers were measured at on the same videos, draw by draw."""
    together = Measured()
    for name in found[0].draws:
        together.draws[name] = np.mean([measured.draws[name] for measured in found], axis=0)
    for rows in zip(*(measured.per_video for measured in found), strict=True):
        values = {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if name != "video"}
        together.per_video.append({"video": rows[0]["video"], **values})
    return together


def bootstrap_counts(num_videos: int, resamples: int) -> np.ndarray:
    """
    Returns how often each video is in each draw, of shape `(resamples, num_videos)`; the draws of
    `scipy.stats.bootstrap` with `rng=numpy.random.default_rng(0)`.
    """
    drawn = np.random.default_rng(0).integers(0, num_videos, (resamples, num_videos))
    return (drawn[:, :, None] == np.arange(num_videos)).sum(axis=1)


def measure_single_label(
    labels: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    num_classes: int,
    names: Sequence[str],
    options: MeasureOptions,
    times: Sequence[np.ndarray] | None = None,
    probabilities: Sequence[np.ndarray] | None = None,
) -> Measured:
    """
    Measures predictions of one class a frame.

    Per video and as means over videos accuracy, macro precision, recall, Jaccard and F1, the segmental edit score and
    F1@10, 25, 50 (Lea et al., CVPR 2017); over all frames the same from the sums of all videos, where F1@k pools
    segments. Macro means are over classes as `options.absent_classes` says. Also the expected calibration error where
    there are probabilities (Guo et al. 2017: 15 bins of equal width of the largest), and the relaxed forms.

    Args:
        labels, predictions: For each video classes of its labelled frames, of shape `(num_frames,)`.
        num_classes: How many there are.
        names: Of the videos.
        options: What is measured.
        times: Of the frames in seconds, for relaxed boundaries.
        probabilities: Of each class, of shape `(num_frames, num_classes)`.

    Raises:
        ValueError: relaxed boundaries are asked for, and times are not known.
    """
    kept = [place for place, of_video in enumerate(labels) if len(of_video)]
    labels, predictions = ([part[place] for place in kept] for part in (labels, predictions))
    if not kept:
        return Measured()
    counts = np.stack([_class_counts(y, p, num_classes) for y, p in zip(labels, predictions, strict=True)])
    segments = np.stack([segment_counts(y, p) for y, p in zip(labels, predictions, strict=True)])  # (V, K, 3)
    by_video: dict[str, np.ndarray] = _of_counts(counts, options.absent_classes)
    by_video["edit"] = np.array([edit_score(y, p) for y, p in zip(labels, predictions, strict=True)])
    for place, percent in enumerate(OVERLAPS):
        by_video[f"segment_f1_at_{percent}"] = _f1(segments[:, place])
    relaxed: dict[str, np.ndarray] = {}
    if options.relaxed_boundary:
        if times is None or any(np.isnan(times[place]).any() for place in kept):
            raise ValueError("relaxed_boundary needs the times of frames, which are not known; leave it out")
        of_videos = [
            relaxed_measures(y, p, times[place], options.relaxed_boundary, num_classes)
            for y, p, place in zip(labels, predictions, kept, strict=True)
        ]
        suffix = f"relaxed_{options.relaxed_boundary:g}s"
        relaxed = {f"{name}_{suffix}": np.array([row[name] for row in of_videos]) for name in of_videos[0]}
    measured = _over_videos({**by_video, **relaxed}, [names[place] for place in kept], options)
    drawn = bootstrap_counts(len(kept), options.resamples) if options.resamples and len(kept) > 1 else None

    def together(weights: np.ndarray) -> dict[str, np.ndarray]:
        """Over all frames of the videos that `weights`, of shape (draws, videos), has."""
        found = _of_counts(np.tensordot(weights, counts, 1), options.absent_classes)
        pooled = np.tensordot(weights, segments, 1)
        return found | {f"segment_f1_at_{percent}": _f1(pooled[:, place]) for place, percent in enumerate(OVERLAPS)}

    _add_together(measured, together, len(kept), drawn)
    if probabilities is not None:
        bins = np.stack(
            [calibration_bins(y, probabilities[place]) for y, place in zip(labels, kept, strict=True)]
        )  # (V, bins, 3)
        _add_together(
            measured,
            lambda weights: {"calibration_error": _calibration_error(np.tensordot(weights, bins, 1))},
            *(len(kept), drawn),
        )
    return measured


def measure_multi_label(
    labels: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    names: Sequence[str],
    options: MeasureOptions,
) -> Measured:
    """
    Measures scores of any number of classes a frame: mean average precision, per video over the classes that it has,
    and its spread; the figures that [`multi_label_metrics`] gives have intervals.

    Args:
        labels: For each video 0 and 1, of shape `(num_frames, num_classes)`.
        scores: Likewise, higher where the class is likelier.
        names: Of the videos.
        options: What is measured.
    """
    kept = [place for place, of_video in enumerate(labels) if len(of_video)]
    if not kept:
        return Measured()
    labels, scores = ([part[place] for place in kept] for part in (labels, scores))
    precisions = np.stack([average_precision(y, s) for y, s in zip(labels, scores, strict=True)])  # (V, C)
    if options.absent_classes == "zero":
        precisions = np.nan_to_num(precisions)
    name = "mean_average_precision"
    measured = Measured()
    by_video = _mean_of_known(precisions, axis=1)
    measured.per_video = [
        {"video": names[place], "num_frames": len(y), name: _or_none(value)}
        for place, y, value in zip(kept, labels, by_video, strict=True)
    ]
    known = by_video[~np.isnan(by_video)]
    measured.values[f"{name}_per_video_std"] = float(known.std(ddof=1)) if len(known) > 1 else None
    if options.resamples and len(kept) > 1:
        drawn = bootstrap_counts(len(kept), options.resamples)
        present = ~np.isnan(precisions)
        sums = drawn @ np.where(present, precisions, 0)
        occurring = drawn @ present
        of_classes = np.where(occurring > 0, sums / np.maximum(occurring, 1), np.nan)
        measured.draws[f"{name}_video_mean"] = _mean_of_known(of_classes, axis=1)
        together = _weighted_average_precision(labels, scores, drawn)
        together = np.nan_to_num(together) if options.absent_classes == "zero" else together
        measured.draws[f"{name}_all_frames"] = _mean_of_known(together, axis=1)
    return measured


def edit_score(labels: np.ndarray, predictions: np.ndarray) -> float:
    """
    Returns the segmental edit score, from 0 to 1: one minus the Levenshtein distance between the classes of the true
    and of the predicted segments, by the larger number of segments (Lea et al., CVPR 2017).
    """
    true, predicted = ([int(values[start]) for start, _ in _runs(values)] for values in (labels, predictions))
    row = list(range(len(predicted) + 1))
    for place, label in enumerate(true, start=1):
        before, row = row, [place]
        for column, prediction in enumerate(predicted, start=1):
            change = before[column - 1] + (label != prediction)
            row.append(min(before[column] + 1, row[-1] + 1, change))
    return 1 - row[-1] / max(len(true), len(predicted), 1)


def segment_counts(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """
    Returns of F1@10, 25 and 50 the numbers of predicted segments that are right, that are wrong, and of true segments
    that were missed, of shape `(3, 3)`. A predicted segment is right if the true segment of its class that it overlaps
    most, by intersection over union, reaches the threshold and has no other yet (Lea et al., CVPR 2017).
    """
    true, predicted = _runs(labels), _runs(predictions)
    counts = np.zeros((len(OVERLAPS), 3), np.int64)
    starts, ends = np.array([run[0] for run in true]), np.array([run[1] for run in true])
    classes = labels[starts] if len(starts) else starts
    for place, percent in enumerate(OVERLAPS):
        taken = np.zeros(len(true), bool)
        for start, end in predicted:
            shared = np.minimum(end, ends) - np.maximum(start, starts)
            union = np.maximum(end, ends) - np.minimum(start, starts)
            overlap = np.where(classes == predictions[start], shared / union, -np.inf)
            best = int(overlap.argmax())
            right = overlap[best] >= percent / 100 and not taken[best]
            taken[best] |= right
            counts[place, 0 if right else 1] += 1
        counts[place, 2] = len(true) - taken.sum()
    return counts


def relaxed_measures(
    labels: np.ndarray, predictions: np.ndarray, times: np.ndarray, boundary: float, num_classes: int
) -> dict[str, float]:
    """
    Returns accuracy, and precision, recall and Jaccard as means over the classes that a video has, with relaxed
    boundaries: in the first `boundary` seconds of a true segment the class of the one before counts as right, too, in
    the last ones that of the one after. Counted as the M2CAI 2016 workflow challenge does, each at most 1: right
    frames among those of a class that are true or predicted, by the number of those that are predicted (precision),
    true (recall), or either (Jaccard). The challenge takes classes for neighbours whose numbers follow one another;
    here they are those of neighbouring segments, which any order of phases has.

    Args:
        labels, predictions: Classes, of shape `(num_frames,)`.
        times: Of the frames, in seconds.
        boundary: In seconds.
        num_classes: How many there are.
    """
    right = labels == predictions
    runs = _runs(labels)
    for place, (start, end) in enumerate(runs):
        inside = np.arange(start, end)
        if place:
            early = inside[times[inside] < times[start] + boundary]
            right[early] |= predictions[early] == labels[start - 1]
        if place + 1 < len(runs):
            late = inside[times[inside] >= times[end] - boundary]
            right[late] |= predictions[late] == labels[end]
    rows = []
    for number in np.unique(labels):
        true, predicted = labels == number, predictions == number
        hits = int(right[true | predicted].sum())
        rows.append([hits / max(int(part.sum()), 1) for part in (predicted, true, true | predicted)])
    precision, recall, jaccard = np.minimum(rows, 1).mean(axis=0)
    return {
        "accuracy": float(right.mean()),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
        "macro_jaccard": float(jaccard),
    }


def calibration_bins(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """
    Returns for each of 15 bins of equal width of the largest probability the number of frames, that of right ones, and
    the sum of the probabilities, of shape `(15, 3)`.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    # A bin has its upper end, as in Guo et al. 2017.
    place = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    columns = (np.ones(len(labels)), right, confidence)
    return np.stack([np.bincount(place, values, CALIBRATION_BINS) for values in columns], axis=1)


def _calibration_error(bins: np.ndarray) -> np.ndarray:
    """Of bins of shape `(draws, 15, 3)`."""
    return abs(bins[..., 1] - bins[..., 2]).sum(axis=-1) / np.maximum(bins[..., 0].sum(axis=-1), 1)


def _class_counts(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Of each class the frames that are right, true, and predicted, of shape `(num_classes, 3)`."""
    hits = np.bincount(labels[labels == predictions], minlength=num_classes)
    return np.stack([hits, *(np.bincount(part, minlength=num_classes) for part in (labels, predictions))], axis=1)


def _of_counts(counts: np.ndarray, absent_classes: AbsentClasses) -> dict[str, np.ndarray]:
    """Accuracy and macro means from `_class_counts` of shape `(n, num_classes, 3)`, each of shape `(n,)`."""
    hits, true, predicted = (counts[..., place].astype(float) for place in range(3))
    either = true + predicted - hits
    rates = {
        "macro_precision": _ratio(hits, predicted),
        "macro_recall": _ratio(hits, true),
        "macro_jaccard": _ratio(hits, either),
        "macro_f1": _ratio(2 * hits, true + predicted),
    }
    if absent_classes == "left_out":
        occurring = np.maximum((either > 0).sum(axis=-1), 1)
        means = {name: np.where(either > 0, values, 0).sum(axis=-1) / occurring for name, values in rates.items()}
    else:
        means = {name: values.mean(axis=-1) for name, values in rates.items()}
    return {"accuracy": hits.sum(axis=-1) / np.maximum(true.sum(axis=-1), 1), **means}


def _over_videos(by_video: Mapping[str, np.ndarray], names: Sequence[str], options: MeasureOptions) -> Measured:
    """Means and spreads over videos, with the draws of the means."""
    measured = Measured()
    for name, values in by_video.items():
        measured.values[f"{name}_video_mean"] = float(values.mean())
        measured.values[f"{name}_video_std"] = float(values.std(ddof=1)) if len(values) > 1 else None
        if options.resamples and len(values) > 1:
            drawn = bootstrap_counts(len(values), options.resamples)
            measured.draws[f"{name}_video_mean"] = drawn @ values / len(values)
    measured.per_video = [
        {"video": name, **{measure: float(values[place]) for measure, values in by_video.items()}}
        for place, name in enumerate(names)
    ]
    return measured


def _add_together(measured: Measured, together, num_videos: int, drawn: np.ndarray | None) -> None:
    """Adds measures over all frames, and their draws."""
    for name, values in together(np.ones((1, num_videos))).items():
        measured.values[f"{name}_all_frames"] = float(values[0])
    if drawn is not None:
        measured.draws |= {f"{name}_all_frames": values for name, values in together(drawn).items()}


def _weighted_average_precision(
    labels: Sequence[np.ndarray], scores: Sequence[np.ndarray], drawn: np.ndarray
) -> np.ndarray:
    """
    Average precision over all frames of each draw, of shape `(draws, num_classes)`, NaN of classes without a positive
    frame in it: scikit-learn's, with the number of times that a video was drawn as the weight of its frames.
    """
    video = np.concatenate([np.full(len(part), place) for place, part in enumerate(labels)])
    y, s = np.concatenate(labels), np.concatenate(scores)
    of_video = video == np.arange(len(labels))[:, None]  # (V, N)
    found = np.full((len(drawn), y.shape[1]), np.nan)
    for place in range(y.shape[1]):
        order = np.argsort(-s[:, place], kind="stable")
        ends = np.append(np.flatnonzero(np.diff(s[order, place])), len(order) - 1)  # of frames of one score
        every = np.cumsum(of_video[:, order], axis=1)[:, ends].astype(np.float64)  # (V, G)
        hits = np.cumsum(of_video[:, order] & (y[order, place] > 0), axis=1)[:, ends].astype(np.float64)
        gained = np.diff(hits, axis=1, prepend=0)
        counts = gained.any(axis=0)  # where no video gains anything, no draw does
        every, hits, gained = every[:, counts], hits[:, counts], gained[:, counts]
        for start in range(0, len(drawn), 100):  # as many as fit in memory
            weights = drawn[start : start + 100].astype(np.float64)  # (R, V)
            total = (weights @ gained).sum(axis=1)
            values = (weights @ gained * (weights @ hits) / np.maximum(weights @ every, 1)).sum(axis=1)
            found[start : start + 100, place] = np.where(total > 0, values / np.maximum(total, 1), np.nan)
    return found


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    """Start, and end excluded, of each run of one value."""
    if not len(values):
        return []
    borders = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return list(pairwise(borders))


def _f1(counts: np.ndarray) -> np.ndarray:
    """From right, wrong and missed, in the last axis."""
    right, wrong, missed = (counts[..., place].astype(float) for place in range(3))
    return _ratio(2 * right, 2 * right + wrong + missed)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """0 where there is nothing to divide by, as scikit-learn's zero_division=0."""
    return np.where(below > 0, above / np.maximum(below, 1), 0.0)


def _mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    known = ~np.isnan(values)
    counts = known.sum(axis=axis)
    return np.where(counts > 0, np.where(known, values, 0).sum(axis=axis) / np.maximum(counts, 1), np.nan)


def _or_none(value: float) -> Value:
    return None if np.isnan(value) else float(value)
