# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.data import VideoDecodeError
from surglavi_hf.evaluation.launched import Processes


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 100)), st.integers(1, 5))
def test_every_video_has_one_process(sizes, count):
    shares = []
    for index in range(count):
        processes = Processes()
        processes.index, processes.count = index, count
        shares.append(processes.share(sizes))
    assert sorted(name for share in shares for name in share) == sorted(sizes)
    loads = [sum(sizes[name] for name in share) for share in shares]
    assert max(loads) - min(loads) <= max(sizes.values(), default=0), "the longest are dealt out first"


def test_alone():
    processes = Processes()
    assert processes.count == 1 and processes.merge({"a": 1}) == {"a": 1}
    assert processes.together(lambda: 7) == [7] and processes.first(lambda: 7) == 7


@pytest.mark.parametrize("error", [OSError("a"), ValueError("b"), VideoDecodeError("c")])
def test_a_fault_of_this_process_is_raised_once_all_have_it(error):
    """Others do not wait for it."""
    processes = Processes()
    gathered = []
    processes.gather = lambda value: gathered.append(value) or [value, ("fine", None)]

    def fail():
        raise error

    with pytest.raises(type(error)):
        processes.together(fail)
    assert gathered == [(None, str(error))]


def test_a_fault_of_another_process():
    processes = Processes()
    processes.gather = lambda value: [value, (None, "v.mp4 cannot be read")]
    with pytest.raises(ValueError, match=r"^v\.mp4 cannot be read$"):
        processes.together(lambda: 7)
