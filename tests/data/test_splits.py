# SPDX-License-Identifier: Apache-2.0
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.data import split_position
from surglavi_hf.data.splits import in_split


def test_the_place_is_fixed():
    """A change here would move videos between the splits of trained models."""
    assert split_position("dQw4w9WgXcQ") == 0.3727271142707848
    places = [split_position(f"id{index}") for index in range(2000)]
    assert all(0 <= place < 1 for place in places) and abs(sum(places) / 2000 - 0.5) < 0.02


IDS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "", None]), st.sampled_from(["v", "w", None])), max_size=12)


@given(IDS, st.floats(0, 1), st.floats(0, 1))
def test_splits_partition_and_do_not_depend_on_other_videos(videos, one, other):
    low, high = sorted((one, other))
    table = pa.table(
        {
            name: pa.array(values, pa.string())
            for name, values in zip(
                ("youtube_id", "name"), zip(*videos, strict=True) if videos else ((), ()), strict=True
            )
        }
    )
    parts = [in_split(table, *bounds).to_pylist() for bounds in ((0, low), (low, high), (high, 1))]
    assert all(sum(row) == 1 for row in zip(*parts, strict=True))
    for row in range(len(videos)):
        assert in_split(table.slice(row, 1), low, high).to_pylist() == [parts[1][row]]
