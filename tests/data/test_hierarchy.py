# SPDX-License-Identifier: Apache-2.0
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.data.hierarchy import parent_rows

from .reference import parent_of

TASK, STEP, PHASE = 1, 2, 3


def parents(*captions):
    """Of `(level, start, end)` in one video."""
    level, start, end = (np.array(column) for column in zip(*captions, strict=True))
    return parent_rows(np.zeros(len(level), int), level, start.astype(float), end.astype(float)).tolist()


def test_task_step_phase():
    assert parents((PHASE, 0, 100), (STEP, 0, 50), (STEP, 50, 100), (TASK, 10, 20), (TASK, 60, 70)) == [-1, 0, 0, 1, 2]


def test_a_task_has_no_phase_for_a_parent():
    assert parents((PHASE, 0, 100), (TASK, 10, 20)) == [-1, -1]


def test_half_of_the_child_is_enough_and_less_is_not():
    assert parents((STEP, 0, 15), (TASK, 10, 20)) == [-1, 0]
    assert parents((STEP, 0, 14.9), (TASK, 10, 20)) == [-1, -1]
    assert parents((STEP, 15, 30), (TASK, 10, 20)) == [-1, 0]
    assert parents((STEP, 12, 17), (TASK, 10, 20)) == [-1, 0]


def test_the_largest_overlap_then_the_shorter_then_the_first():
    assert parents((STEP, 0, 16), (STEP, 13, 99), (TASK, 10, 20))[-1] == 1
    assert parents((STEP, 0, 90), (STEP, 10, 21), (STEP, 0, 50), (TASK, 10, 20))[-1] == 1
    assert parents((STEP, 5, 25), (STEP, 5, 25), (TASK, 10, 20))[-1] == 0
    assert parents((STEP, 12, 18), (STEP, 12, 40), (TASK, 10, 20))[-1] == 1


def test_parents_are_of_the_same_video():
    video, level = np.array([-(2**60), 2**60, 2**60]), np.array([STEP, STEP, TASK])
    assert parent_rows(video, level, np.array([0.0, 9, 10]), np.array([50.0, 15, 20])).tolist() == [-1, -1, 1]


def test_only_eligible_captions_are_parents():
    level, times = np.array([PHASE, STEP, STEP, TASK]), np.array([[0.0, 99], [0, 99], [5, 25], [10, 20]])
    for eligible, expected in (([1, 1, 1, 1], 2), ([1, 1, 0, 1], 1), ([1, 0, 0, 1], -1)):
        found = parent_rows(np.zeros(4, int), level, *times.T, np.array(eligible, bool))
        assert found.tolist() == [-1, 0, 0, expected]


def test_nothing():
    empty = np.array([])
    assert parent_rows(empty.astype(int), empty.astype(int), empty, empty).tolist() == []


# Few distinct times make ties; tenths and thousandths, as databases have them, make differences that round.
TIME = st.one_of(
    *(st.integers(0, 12 * scale).map(lambda value, scale=scale: value / scale) for scale in (1, 10, 1000))
)
CAPTION = st.tuples(st.integers(0, 2), st.integers(1, 3), TIME, TIME).filter(lambda caption: caption[2] < caption[3])


@given(st.lists(CAPTION, max_size=40))
def test_equals_the_comparison_of_all_pairs(captions):
    rows = [
        {"caption_id": index + 1, "video_id": video, "level": level, "start_time": start, "end_time": end}
        for index, (video, level, start, end) in enumerate(captions)
    ]
    expected = [(parent_of(row, rows) or 0) - 1 for row in rows]
    columns = [np.array([caption[index] for caption in captions]) for index in range(4)]
    if captions:
        assert parent_rows(*columns).tolist() == expected


def test_many_that_all_overlap():
    """A comparison of all pairs would need 4e10 of them."""
    count = 200_000
    start = np.arange(count, dtype=float)
    level = np.where(np.arange(2 * count) < count, STEP, TASK)
    start, end = np.append(start, start + 0.25), np.append(2.0 * count - start, 2.0 * count - start - 0.25)
    found = parent_rows(np.zeros(2 * count, int), level, start, end)
    assert found[:count].tolist() == [-1] * count
    assert found[count:].tolist() == list(range(count)), "each task has a step that is just longer"
