# SPDX-License-Identifier: Apache-2.0
"""Measures against their published definitions, written out here or taken from scikit-learn and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, precision_score, recall_score

from surglavi_hf.evaluation.measures import (
    MeasureOptions,
    bootstrap_counts,
    calibration_bins,
    edit_score,
    measure_frames,
    measure_multi_label,
    measure_single_label,
    relaxed_measures,
    segment_counts,
)

CLASSES = 4
# Runs, as phases are: a class and how many frames.
SEQUENCES = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(1, 9)), min_size=1, max_size=8).map(
    lambda runs: np.repeat([label for label, _ in runs], [length for _, length in runs])
)


@st.composite
def pairs(draw):
    """Labels and predictions of one length."""
    one, other = draw(SEQUENCES), draw(SEQUENCES)
    return one, np.resize(other, len(one))


def segments_of(values):
    """Class, first and last frame of each run, frame by frame."""
    found = []
    for frame, value in enumerate(values):
        if not found or found[-1][0] != value:
            found.append([value, frame, frame])
        found[-1][2] = frame
    return found


def reference_edit(labels, predictions):
    true, predicted = ([value for value, _, _ in segments_of(part)] for part in (labels, predictions))
    table = np.zeros((len(predicted) + 1, len(true) + 1))
    table[:, 0], table[0] = np.arange(len(predicted) + 1), np.arange(len(true) + 1)
    for i in range(1, len(predicted) + 1):
        for j in range(1, len(true) + 1):
            same = predicted[i - 1] == true[j - 1]
            table[i, j] = (
                table[i - 1, j - 1] if same else 1 + min(table[i - 1, j], table[i, j - 1], table[i - 1, j - 1])
            )
    return 1 - table[-1, -1] / max(len(true), len(predicted))


def reference_counts(labels, predictions, threshold):
    """Lea et al.: the true segment of the class with the largest overlap, each once."""
    true = segments_of(labels)
    taken, right, wrong = [False] * len(true), 0, 0
    for value, first, last in segments_of(predictions):
        mine = set(range(first, last + 1))
        overlaps = [
            len(mine & set(range(a, b + 1))) / len(mine | set(range(a, b + 1))) if other == value else 0.0
            for other, a, b in true
        ]
        best = int(np.argmax(overlaps))
        if overlaps[best] >= threshold and not taken[best]:
            taken[best], right = True, right + 1
        else:
            wrong += 1
    return [right, wrong, len(true) - sum(taken)]


def reference_relaxed(labels, predictions, boundary):
    """The challenge's counting with neighbouring segments, one frame a second, frame by frame."""
    segments = segments_of(labels)
    right = []
    for frame, (label, prediction) in enumerate(zip(labels, predictions, strict=True)):
        place = next(n for n, (_, first, last) in enumerate(segments) if first <= frame <= last)
        allowed = {label}
        if place and frame - segments[place][1] < boundary:
            allowed.add(segments[place - 1][0])
        if place + 1 < len(segments) and segments[place][2] - frame < boundary:
            allowed.add(segments[place + 1][0])
        right.append(prediction in allowed)
    rows = []
    for value in sorted(set(labels)):
        either = [n for n in range(len(labels)) if value in (labels[n], predictions[n])]
        hits = sum(right[n] for n in either)
        counts = (list(predictions).count(value), list(labels).count(value), len(either))
        rows.append([min(1, hits / max(count, 1)) for count in counts])
    return [float(np.mean(right)), *np.mean(rows, axis=0)]


@given(pairs())
def test_segments_by_their_definitions(pair):
    assert edit_score(*pair) == pytest.approx(reference_edit(*pair))
    expected = [reference_counts(*pair, threshold) for threshold in (0.1, 0.25, 0.5)]
    assert segment_counts(*pair).tolist() == expected


@given(pairs(), st.integers(1, 12))
def test_relaxed_boundaries_by_their_definition(pair, boundary):
    found = relaxed_measures(*pair, np.arange(len(pair[0]), dtype=float), boundary, CLASSES)
    assert list(found.values()) == pytest.approx(reference_relaxed(*pair, boundary))


def test_relaxed_boundaries_by_hand():
    labels = np.array([0] * 4 + [1] * 4)
    predictions = np.array([0, 0, 0, 1, 0, 1, 1, 2])
    strict = relaxed_measures(labels, labels, np.arange(8.0), 1, 3)
    assert set(strict.values()) == {1.0}
    assert relaxed_measures(labels, predictions, np.arange(8.0), 1, 3)["accuracy"] == 7 / 8


@settings(deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=4), st.sampled_from(["official", "left_out"]))
def test_macro_means_are_scikit_learns(videos, absent_classes):
    labels, predictions = zip(*videos, strict=True)
    options = MeasureOptions(absent_classes=absent_classes, resamples=0)
    found = measure_single_label(labels, predictions, CLASSES, ["v"] * len(videos), options)
    scores = {
        "macro_precision": precision_score,
        "macro_recall": recall_score,
        "macro_jaccard": jaccard_score,
        "macro_f1": f1_score,
    }
    for name, score in scores.items():

        def of(y, p, score=score):
            occurring = np.union1d(y, p) if absent_classes == "left_out" else range(CLASSES)
            return score(y, p, labels=list(occurring), average="macro", zero_division=0)

        by_video = [of(y, p) for y, p in videos]
        assert found.values[f"{name}_video_mean"] == pytest.approx(np.mean(by_video))
        assert [row[name] for row in found.per_video] == pytest.approx(by_video)
        together = of(np.concatenate(labels), np.concatenate(predictions))
        assert found.values[f"{name}_all_frames"] == pytest.approx(together)
        if len(videos) > 1:
            assert found.values[f"{name}_video_std"] == pytest.approx(np.std(by_video, ddof=1))
    assert found.draws == {}


@settings(deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=4))
def test_segment_f1_of_videos_and_of_all_frames(videos):
    """The harmonic mean of precision and recall; over all frames of the counts of all videos together."""
    labels, predictions = zip(*videos, strict=True)
    found = measure_single_label(labels, predictions, CLASSES, ["v"] * len(videos), MeasureOptions(resamples=0))

    def f1(right, wrong, missed):
        return 0.0 if not right else 2 / ((right + wrong) / right + (right + missed) / right)

    for percent in (10, 25, 50):
        counts = [reference_counts(*pair, percent / 100) for pair in videos]
        by_video, name = [f1(*row) for row in counts], f"segment_f1_at_{percent}"
        assert [row[name] for row in found.per_video] == pytest.approx(by_video)
        assert found.values[f"{name}_video_mean"] == pytest.approx(np.mean(by_video))
        assert found.values[f"{name}_all_frames"] == pytest.approx(f1(*np.sum(counts, axis=0)))
    assert found.values["edit_video_mean"] == pytest.approx(np.mean([reference_edit(*pair) for pair in videos]))


@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_calibration_error_by_its_definition(seed, number):
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(size=(number, CLASSES)) * 3, axis=1)
    labels = rng.integers(0, CLASSES, number)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for place in range(15):
        inside = (confidence > place / 15) & (confidence <= (place + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    bins = calibration_bins(labels, probabilities)
    assert abs(bins[:, 1] - bins[:, 2]).sum() / bins[:, 0].sum() == pytest.approx(expected)
    assert bins[:, 0].sum() == number


@pytest.mark.parametrize("num_videos", [2, 7])
def test_intervals_are_scipys(num_videos):
    rng = np.random.default_rng(3)
    videos = [(rng.integers(0, CLASSES, 40), rng.integers(0, CLASSES, 40)) for _ in range(num_videos)]
    labels, predictions = zip(*videos, strict=True)
    names = [str(number) for number in range(num_videos)]
    found = measure_single_label(labels, predictions, CLASSES, names, MeasureOptions(resamples=500)).intervals()

    def accuracy(places, axis=-1):
        by_video = np.array([(y == p).mean() for y, p in videos])
        return by_video[places].mean(axis=axis)

    def jaccard(places):
        y, p = (np.concatenate([part[place] for place in places]) for part in (labels, predictions))
        return jaccard_score(y, p, labels=range(CLASSES), average="macro", zero_division=0)

    given = {"n_resamples": 500, "method": "percentile"}
    places = (np.arange(num_videos),)
    expected = bootstrap(places, accuracy, rng=np.random.default_rng(0), vectorized=True, **given).confidence_interval
    assert found["accuracy_video_mean"] == pytest.approx(list(expected))
    expected = bootstrap(places, jaccard, rng=np.random.default_rng(0), vectorized=False, **given).confidence_interval
    assert found["macro_jaccard_all_frames"] == pytest.approx(list(expected))


def test_intervals_of_average_precision_are_scikit_learns_of_repeated_videos():
    rng = np.random.default_rng(5)
    labels = [(rng.random((30, 3)) < (0.4, 0.1, 0.02)).astype(int) for _ in range(4)]
    scores = [rng.integers(0, 6, (30, 3)) / 5 for _ in range(4)]  # many are equal
    found = measure_multi_label(labels, scores, list("abcd"), MeasureOptions(resamples=60))
    by_video = [
        np.mean([average_precision_score(y[:, c], s[:, c]) for c in range(3) if y[:, c].any()])
        for y, s in zip(labels, scores, strict=True)
    ]
    assert [row["mean_average_precision"] for row in found.per_video] == pytest.approx(by_video)
    assert found.values["mean_average_precision_per_video_std"] == pytest.approx(np.std(by_video, ddof=1))
    for draw, counts in enumerate(bootstrap_counts(4, 60)):
        chosen = np.repeat(np.arange(4), counts)
        y, s = (np.concatenate([part[place] for place in chosen]) for part in (labels, scores))
        known = [average_precision_score(y[:, c], s[:, c]) for c in range(3) if y[:, c].any()]
        assert found.draws["mean_average_precision_all_frames"][draw] == pytest.approx(np.mean(known))
        means = [
            np.mean(rows)
            for c in range(3)
            if (
                rows := [
                    average_precision_score(labels[p][:, c], scores[p][:, c]) for p in chosen if labels[p][:, c].any()
                ]
            )
        ]
        assert found.draws["mean_average_precision_video_mean"][draw] == pytest.approx(np.mean(means))


def test_one_video_has_neither_spread_nor_interval():
    scores = [np.eye(3)[[0, 1, 1, 2]]]
    given = ("single_label", ["a", "b", "c"], ["v"], [np.array([0, 1, 2, 2])], scores, MeasureOptions())
    metrics, table, measured = measure_frames(*given)
    assert measured.intervals() == {} and metrics["accuracy_video_std"] is None
    assert metrics["accuracy_all_frames"] == 0.75 and "calibration_error_all_frames" not in metrics
    assert table[1]["jaccard"] == pytest.approx(0.5)
    assert MeasureOptions().protocol(1, "single_label")["intervals"] == "none: one video"


def test_videos_without_labels_count_nothing():
    labels = [np.array([0, 1]), np.zeros(0, int), np.array([1])]
    metrics, _, measured = measure_frames(
        *("single_label", ["a", "b"], ["x", "empty", "y"], labels),
        *([np.eye(2)[[0, 1]], np.zeros((0, 2)), np.eye(2)[[0]]], MeasureOptions()),
        logit_scale=10.0,
    )
    assert [row["video"] for row in measured.per_video] == ["x", "y"] and metrics["accuracy_video_mean"] == 0.5
    assert 0 < metrics["calibration_error_all_frames"] < 1
    nothing = measure_frames("single_label", ["a", "b"], ["v"], labels[1:2], [np.zeros((0, 2))], MeasureOptions())
    assert nothing[0]["accuracy_all_frames"] is None and nothing[2].per_video == []


def test_relaxed_boundaries_need_times():
    given = ([np.array([0, 1])], [np.array([0, 1])], 2, ["v"], MeasureOptions(relaxed_boundary=10))
    with pytest.raises(ValueError, match="relaxed_boundary needs the times of frames"):
        measure_single_label(*given, times=[np.array([0.0, np.nan])])
    found = measure_single_label(*given, times=[np.array([0.0, 1.0])])
    assert found.values["accuracy_relaxed_10s_video_mean"] == 1.0
