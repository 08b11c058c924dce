# SPDX-License-Identifier: Apache-2.0
"""Metric values by their full names, from scikit-learn and ivtmetrics: imported where they are needed, since
`--help` should not wait for them."""

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

# What a class counts that a video, or all of them, does not have.
AbsentClasses = Literal["official", "zero", "left_out"]
Metrics = dict[str, float | None]
ClassTable = list[dict[str, str | int | float | None]]

NULL_TRIPLETS = 6  # the last ones, an instrument that does nothing
_COMPONENTS = ("instrument", "verb", "target", "instrument_verb", "instrument_target")  # columns 1 to 5 of the map


def classification_metrics(labels: Sequence[int], predictions: Sequence[int], num_classes: int) -> dict[str, float]:
    """
    Returns `accuracy`, `macro_f1` (over the classes that occur among labels or predictions) and `chance`, the accuracy
    of guessing among `num_classes` classes.
    """
    from sklearn.metrics import accuracy_score, f1_score

    return {
        "accuracy": float(accuracy_score(labels, predictions)),
        "macro_f1": float(f1_score(labels, predictions, average="macro", zero_division=0)),
        "chance": 1.0 / num_classes,
    }


def single_label_metrics(
    labels: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    classes: Sequence[str],
    absent_classes: AbsentClasses = "official",
) -> tuple[Metrics, ClassTable]:
    """
    Returns accuracy and macro F1, each the mean over videos and over all frames, and a row for each class (all
    frames). Nothing is relaxed at the borders of phases. Videos without labels are left out.

    Args:
        labels, predictions: For each video the classes of its frames, of shape `(num_frames,)`.
        classes: Names.
        absent_classes: What F1 is of a class that occurs neither among labels nor predictions: "official" and "zero"
            count 0, as a mean over all classes does; "left_out" takes the mean over the others.
    """
    from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

    pairs = [(y, p) for y, p in zip(labels, predictions, strict=True) if len(y)]
    if not pairs:
        none: Metrics = dict.fromkeys(_names("accuracy") + _names("macro_f1"))
        return none, [{"class": name, "num_frames": 0} for name in classes]

    def f1(y: np.ndarray, p: np.ndarray) -> float:
        occurring = np.union1d(y, p) if absent_classes == "left_out" else np.arange(len(classes))
        return float(f1_score(y, p, labels=occurring, average="macro", zero_division=0))

    all_labels, all_predictions = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    metrics: Metrics = {
        "accuracy_video_mean": float(np.mean([accuracy_score(y, p) for y, p in pairs])),
        "accuracy_all_frames": float(accuracy_score(all_labels, all_predictions)),
        "macro_f1_video_mean": float(np.mean([f1(y, p) for y, p in pairs])),
        "macro_f1_all_frames": f1(all_labels, all_predictions),
    }
    columns = precision_recall_fscore_support(
        all_labels, all_predictions, labels=np.arange(len(classes)), zero_division=0
    )
    table: ClassTable = [
        {"class": name, "num_frames": int(count), "precision": float(p), "recall": float(r), "f1": float(f)}
        for name, p, r, f, count in zip(classes, *columns, strict=True)
    ]
    return metrics, table


def multi_label_metrics(
    labels: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    classes: Sequence[str],
    absent_classes: AbsentClasses = "official",
) -> tuple[Metrics, ClassTable]:
    """
    Returns the mean average precision, for each class the mean over videos and over all frames, then over classes; and
    a row for each class.

    Args:
        labels: For each video 0 and 1, of shape `(num_frames, num_classes)`.
        scores: Likewise, higher where the class is likelier.
        classes: Names.
        absent_classes: What average precision is of a class without a single positive frame, in a video or in all:
            "official" and "left_out" take the mean over the others, as ivtmetrics does; "zero" counts 0.
    """
    video_mean, all_frames = _average_precision_both_ways(labels, scores, absent_classes)
    counts = _stack(labels, len(classes)).sum(axis=0)
    name = "mean_average_precision"
    metrics: Metrics = {f"{name}_video_mean": _mean(video_mean), f"{name}_all_frames": _mean(all_frames)}
    table: ClassTable = [
        {
            "class": classes[place],
            "num_frames": int(counts[place]),
            "average_precision_video_mean": _or_none(video_mean[place]),
            "average_precision_all_frames": _or_none(all_frames[place]),
        }
        for place in range(len(classes))
    ]
    return metrics, table


def triplet_metrics(
    labels: Sequence[np.ndarray],
    scores: Sequence[np.ndarray],
    classes: Sequence[str],
    absent_classes: AbsentClasses = "official",
) -> tuple[Metrics, ClassTable]:
    """
    Returns what [`multi_label_metrics`] does for the 100 triplets of CholecT50, for them without the six null ones,
    and for their components, whose labels and scores are the largest of the triplets that contain them (ivtmetrics).

    ivtmetrics (0.1.5) leaves classes out that a video does not have, by a minus that
    scikit-learn no longer gives; with today's (1.9) it counts them 0. Here they are left out, as in the published
    figures.
    """
    metrics, table = multi_label_metrics(labels, scores, classes, absent_classes)
    metrics = {f"triplet_{name}": value for name, value in metrics.items()}
    parts = {"triplet_without_null": [[values[:, :-NULL_TRIPLETS] for values in part] for part in (labels, scores)]}
    for column, name in enumerate(_COMPONENTS, start=1):
        members = _members(column)
        parts[name] = [[_largest(values, members) for values in part] for part in (labels, scores)]
    ways = _names("mean_average_precision")
    for name, both in parts.items():
        for way, values in zip(ways, _average_precision_both_ways(*both, absent_classes), strict=True):
            metrics[f"{name}_{way}"] = _mean(values)
    return metrics, table


def average_precision(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """
    Returns scikit-learn's average precision of each class, NaN of those without a positive frame.

    Args:
        labels: 0 and 1, of shape `(num_frames, num_classes)`.
        scores: Of the same shape.
    """
    from sklearn.metrics import average_precision_score

    return np.array(
        [
            average_precision_score(labels[:, place], scores[:, place]) if labels[:, place].any() else np.nan
            for place in range(labels.shape[1])
        ]
    )


def _average_precision_both_ways(
    labels: Sequence[np.ndarray], scores: Sequence[np.ndarray], absent_classes: AbsentClasses
) -> tuple[np.ndarray, np.ndarray]:
    width = labels[0].shape[1] if len(labels) else 0
    by_video = [average_precision(y, s) for y, s in zip(labels, scores, strict=True) if len(y)]
    together = average_precision(_stack(labels, width), _stack(scores, width))
    rows = np.stack(by_video) if by_video else np.full((1, width), np.nan)
    if absent_classes == "zero":
        rows, together = np.nan_to_num(rows), np.nan_to_num(together)
    present = ~np.isnan(rows)
    counts = present.sum(axis=0)
    means = np.where(present, rows, 0).sum(axis=0) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nan), together


@cache
def _members(column: int) -> list[np.ndarray]:
    """Of each class of a component, in order, which triplets contain it."""
    from ivtmetrics import Disentangle

    bank = Disentangle().bank
    return [bank[:, column] == index for index in np.unique(bank[:, column])]


def _largest(values: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
    return np.stack([values[:, member].max(axis=1) for member in members], axis=1)


def _stack(videos: Sequence[np.ndarray], width: int) -> np.ndarray:
    return np.concatenate(videos) if len(videos) else np.zeros((0, width))


def _mean(values: np.ndarray) -> float | None:
    """Over the classes that have a value."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _names(metric: str) -> list[str]:
    return [f"{metric}_video_mean", f"{metric}_all_frames"]
