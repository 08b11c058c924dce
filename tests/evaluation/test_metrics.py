# SPDX-License-Identifier: Apache-2.0
import warnings

import ivtmetrics.recognition
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from surglavi_hf.evaluation.metrics import (
    average_precision,
    classification_metrics,
    multi_label_metrics,
    single_label_metrics,
    triplet_metrics,
)

CLASSES = ["a", "b", "c", "d"]
FRAMES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12)
SCORES = st.integers(0, 5).map(lambda value: value / 5)
MULTI = st.lists(st.tuples(*[st.tuples(st.integers(0, 1), SCORES)] * 4), max_size=10)


def test_classification():
    labels, predictions = [0, 0, 1, 2], [0, 1, 1, 1]
    metrics = classification_metrics(labels, predictions, num_classes=4)
    assert metrics["accuracy"] == 0.5 and metrics["chance"] == 0.25
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert metrics["macro_f1"] == pytest.approx(f1_score(labels, predictions, average="macro"))


def f1_by_hand(labels, predictions, name: int) -> float | None:
    hits = sum(a == b == name for a, b in zip(labels, predictions, strict=True))
    count = list(labels).count(name) + list(predictions).count(name)
    return 2 * hits / count if count else None


def expected_macro(labels, predictions, absent: str) -> float:
    values = [f1_by_hand(labels, predictions, name) for name in range(4)]
    known = [value for value in values if value is not None]
    return np.mean(known) if absent == "left_out" else np.mean([value or 0.0 for value in values])


@pytest.mark.parametrize("absent", ["official", "zero", "left_out"])
@given(videos=st.lists(FRAMES, min_size=1, max_size=4))
def test_single_label_is_counted_right(absent, videos):
    """Against F1 by its definition, with absent classes, one class and empty videos."""
    pairs = [(np.array([y for y, _ in video], int), np.array([p for _, p in video], int)) for video in videos]
    metrics, table = single_label_metrics(*zip(*pairs, strict=True), CLASSES, absent)
    pairs = [(y, p) for y, p in pairs if len(y)]
    if not pairs:
        assert set(metrics.values()) == {None}
        return
    together = [np.concatenate(parts) for parts in zip(*pairs, strict=True)]
    assert metrics["accuracy_video_mean"] == pytest.approx(np.mean([(y == p).mean() for y, p in pairs]))
    assert metrics["accuracy_all_frames"] == pytest.approx((together[0] == together[1]).mean())
    expected = np.mean([expected_macro(y, p, absent) for y, p in pairs])
    assert metrics["macro_f1_video_mean"] == pytest.approx(expected)
    assert metrics["macro_f1_all_frames"] == pytest.approx(expected_macro(*together, absent))
    for name, row in enumerate(table):
        assert row["f1"] == pytest.approx(f1_by_hand(*together, name) or 0.0)
        assert row["num_frames"] == (together[0] == name).sum()


def split(video) -> tuple[np.ndarray, np.ndarray]:
    labels = [[label for label, _ in frame] for frame in video]
    scores = [[score for _, score in frame] for frame in video]
    return np.array(labels, int).reshape(-1, 4), np.array(scores, float).reshape(-1, 4)


@given(video=MULTI)
def test_average_precision_is_scikit_learns(video):
    labels, scores = split(video)
    found = average_precision(labels, scores)
    for place in range(4):
        if labels[:, place].any():
            assert found[place] == average_precision_score(labels[:, place], scores[:, place])
        else:
            assert np.isnan(found[place])


@given(videos=st.lists(MULTI, min_size=1, max_size=3))
def test_multi_label_means(videos):
    pairs = [split(video) for video in videos]
    labels, scores = [y for y, _ in pairs], [s for _, s in pairs]
    zero, _ = multi_label_metrics(labels, scores, CLASSES, "zero")
    left_out, table = multi_label_metrics(labels, scores, CLASSES)
    rows = np.array([average_precision(y, s) for y, s in pairs if len(y)]).reshape(-1, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a mean of nothing
        by_class = np.nanmean(rows, axis=0) if len(rows) else np.full(4, np.nan)
        expected = np.nanmean(by_class)
    found = left_out["mean_average_precision_video_mean"]
    assert found is None if np.isnan(expected) else found == pytest.approx(expected)
    expected = np.nan_to_num(rows).mean(axis=0).mean() if len(rows) else 0.0
    assert zero["mean_average_precision_video_mean"] == pytest.approx(expected)
    together = average_precision(np.concatenate(labels), np.concatenate(scores))
    assert [row["average_precision_all_frames"] for row in table] == [
        None if np.isnan(value) else value for value in together
    ]


def average_precision_with_sign(labels, scores, average):
    """As scikit-learn gave it when ivtmetrics was written: minus zero, or NaN, of a class that is not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = average_precision_score(labels, scores, average=average)
    return np.where(labels.any(axis=0), values, -0.0)


@pytest.mark.parametrize("density", [0.9, 0.05, 0.005])
@pytest.mark.parametrize("seed", range(3))
def test_triplets_are_ivtmetrics(monkeypatch, density, seed):
    """With every class in every video, with some in some, and with most nowhere."""
    monkeypatch.setattr(ivtmetrics.recognition, "average_precision_score", average_precision_with_sign)
    generator = np.random.default_rng(seed)
    labels = [(generator.random((30 + video, 100)) < density).astype(int) for video in range(3)]
    labels[0][0, 0] = 1
    scores = [generator.random(video.shape).round(2) for video in labels]
    recognition = ivtmetrics.Recognition(100)
    for y, s in zip(labels, scores, strict=True):
        recognition.update(y, s)
        recognition.video_end()
    metrics, _ = triplet_metrics(labels, scores, [str(index) for index in range(100)])
    names = {
        "ivt": "triplet",
        "i": "instrument",
        "v": "verb",
        "t": "target",
        "iv": "instrument_verb",
        "it": "instrument_target",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for component, name in names.items():
            expected = recognition.compute_video_AP(component)["mAP"]
            assert metrics[f"{name}_mean_average_precision_video_mean"] == pytest.approx(expected, abs=1e-12)
            expected = recognition.compute_global_AP(component)["mAP"]
            assert metrics[f"{name}_mean_average_precision_all_frames"] == pytest.approx(expected, abs=1e-12)
        expected = recognition.compute_video_AP("ivt", ignore_null=True)["mAP"]
    found = metrics["triplet_without_null_mean_average_precision_video_mean"]
    assert found is None if np.isnan(expected) else found == pytest.approx(expected)


def test_ivtmetrics_counts_absent_classes_with_todays_scikit_learn():
    """The reason for averaging here: when this fails, ivtmetrics can be used whole again."""
    recognition = ivtmetrics.Recognition(100)
    labels = np.zeros((4, 100), int)
    labels[0, 7] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recognition.update(labels, np.where(labels, 1.0, 0.5))
        recognition.video_end()
        assert recognition.compute_video_AP("ivt")["mAP"] == pytest.approx(0.01)
    metrics, _ = triplet_metrics([labels], [np.where(labels, 1.0, 0.5)], [""] * 100)
    assert metrics["triplet_mean_average_precision_video_mean"] == 1.0


def test_no_videos():
    assert set(single_label_metrics([], [], CLASSES)[0].values()) == {None}
    assert set(multi_label_metrics([np.zeros((0, 4), int)], [np.zeros((0, 4))], CLASSES)[0].values()) == {None}
