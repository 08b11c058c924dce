# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st

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
