# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.evaluation.benchmarks import Benchmark, LabelledVideo
from surglavi_hf.evaluation.decoding import Decoding, decode, order_statistics, smoothed, viterbi
from surglavi_hf.evaluation.measures import MeasureOptions


@given(st.integers(0, 10**6), st.integers(1, 30), st.booleans(), st.floats(0.1, 20))
def test_smoothing_by_its_definition(seed, length, causal, seconds):
    random = np.random.default_rng(seed)
    times = np.cumsum(random.choice([0.25, 0.5, 1, 3], length))
    scores = random.normal(size=(length, 3)).astype(np.float32)
    found = smoothed(scores, times, seconds, causal)
    for place, time in enumerate(times):
        if causal:
            inside = (times > time - seconds) & (times <= time)
        else:
            inside = (times >= time - seconds / 2) & (times <= time + seconds / 2)
        assert np.allclose(found[place], scores[inside].mean(axis=0), atol=1e-5)


def test_causal_smoothing_does_not_look_ahead():
    times, scores = np.arange(20.0), np.random.default_rng(0).normal(size=(20, 2))
    changed = scores.copy()
    changed[10:] += 5
    assert np.array_equal(smoothed(scores, times, 6, True)[:10], smoothed(changed, times, 6, True)[:10])
    assert not np.array_equal(smoothed(scores, times, 6, False)[:10], smoothed(changed, times, 6, False)[:10])


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 4))
def test_viterbi_is_the_best_of_all_courses(seed, length, num_classes):
    random = np.random.default_rng(seed)
    emissions = random.normal(size=(length, num_classes))
    first, following = random.normal(size=num_classes), random.normal(size=(num_classes, num_classes))

    def value(course):
        changes = sum(following[one, other] for one, other in itertools.pairwise(course))
        return first[course[0]] + changes + sum(emissions[place, number] for place, number in enumerate(course))

    courses = list(itertools.product(range(num_classes), repeat=length))
    assert viterbi(emissions, first, following).tolist() == list(max(courses, key=value))


def test_order_statistics():
    first, following = order_statistics([np.array([0, 0, 1]), np.array([1, 1, 1]), np.array([], int)], 3)
    assert np.allclose(np.exp(first), [2 / 5, 2 / 5, 1 / 5])
    assert np.allclose(np.exp(following), [[2 / 5, 2 / 5, 1 / 5], [1 / 5, 3 / 5, 1 / 5], [1 / 3, 1 / 3, 1 / 3]])


def benchmark(*labels: list[int], times: bool = True) -> Benchmark:
    videos = {
        f"v{number}": LabelledVideo(
            tuple(range(len(of_video))),
            tuple(float(place) if times else float("nan") for place in range(len(of_video))),
            dict(enumerate(of_video)),
            None,
        )
        for number, of_video in enumerate(labels)
    }
    return Benchmark("mine", "single_label", ("a", "b"), (("a",), ("b",)), videos, {})


LABELS = ([0] * 10 + [1] * 10, [0] * 8 + [1] * 12)


def noisy() -> list[np.ndarray]:
    """Right, but for one frame in five."""
    scores = []
    for of_video in LABELS:
        right = np.eye(2)[of_video]
        right[::5] = right[::5, ::-1]
        scores.append(right * 0.1)
    return scores


def test_decoding_mends_single_frames_and_is_reported_by_itself():
    test, train = benchmark(*LABELS), benchmark([0] * 9 + [1] * 9)
    decoded = decode(test, noisy(), Decoding(causal=3, centered=3, viterbi=True), MeasureOptions(), 20.0, train)
    assert [way["name"] for way, _ in decoded] == ["causal smoothing", "centered smoothing", "viterbi"]
    accuracy = {way["name"]: way["metrics"]["accuracy_all_frames"] for way, _ in decoded}
    assert 0.8 < accuracy["causal smoothing"] < accuracy["centered smoothing"] == accuracy["viterbi"] == 0.975
    way, measured = decoded[2]
    assert "1 training videos, plus 1 each" in way["how"] and "looking ahead" in way["how"]
    assert "calibration_error_all_frames" not in way["metrics"]
    assert (
        way["intervals"]["accuracy_all_frames"] == [0.95, 1.0] and len(measured.draws["accuracy_all_frames"]) == 1000
    )
    assert decode(test, noisy(), Decoding(), MeasureOptions(), None, None) == []


@pytest.mark.parametrize(
    "decoding, scale, train, message",
    [
        (Decoding(viterbi=True), None, benchmark([0]), "the model says no scale of its scores, which viterbi needs"),
        (Decoding(viterbi=True), 1.0, None, "there is no training split, which viterbi needs"),
    ],
)
def test_refused(decoding, scale, train, message):
    with pytest.raises(ValueError, match=message):
        decode(benchmark(*LABELS), noisy(), decoding, MeasureOptions(), scale, train)


def test_refused_without_times_or_with_several_classes():
    with pytest.raises(ValueError, match="smoothing needs the times of frames"):
        decode(benchmark(*LABELS, times=False), noisy(), Decoding(causal=2), MeasureOptions(), None, None)
    several = Benchmark("mine", "multi_label", ("a", "b"), (("a",), ("b",)), {}, {})
    with pytest.raises(ValueError, match="mine has several classes a frame"):
        decode(several, [], Decoding(causal=2), MeasureOptions(), None, None)
    with pytest.raises(ValueError, match="causal=-1"):
        Decoding(causal=-1)
