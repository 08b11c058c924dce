# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.surgclip import centered_window, online_window


def test_sixteen_frames():
    assert centered_window(100, 1000) == list(range(92, 108)), "a-8 … a+7"
    assert online_window(100) == list(range(85, 101)), "the 16 ending at a"


def test_a_stride():
    assert centered_window(6, 100, 4, stride=3) == [0, 3, 6, 9]
    assert online_window(6, 4, stride=3) == [0, 0, 3, 6]
    with pytest.raises(ValueError, match="stride=0, expected a whole number >= 1"):
        online_window(6, 4, stride=0)


def test_edges_are_repeated():
    assert centered_window(2, 1000) == [0] * 6 + list(range(10))
    assert centered_window(998, 1000) == [*range(990, 1000)] + [999] * 6
    assert centered_window(0, 1) == [0] * 16
    assert online_window(2) == [0] * 13 + [0, 1, 2]


@given(st.integers(0, 50), st.integers(1, 51), st.integers(1, 20))
def test_windows_are_clamped_and_hold_their_frame(frame, extra, num_frames):
    length = frame + extra
    centered, online = centered_window(frame, length, num_frames), online_window(frame, num_frames)
    assert len(centered) == len(online) == num_frames
    assert centered == [min(max(frame - num_frames // 2 + offset, 0), length - 1) for offset in range(num_frames)]
    assert centered[num_frames // 2] == online[-1] == frame
    assert online == sorted(online) and max(online) == frame


@pytest.mark.parametrize("frame, length, num_frames", [(-1, 5, 16), (5, 5, 16), (0, 5, 0)])
def test_wrong_numbers(frame, length, num_frames):
    with pytest.raises(ValueError, match="expected"):
        centered_window(frame, length, num_frames)
    if frame < length:
        with pytest.raises(ValueError, match="expected a whole number"):
            online_window(frame, num_frames)
