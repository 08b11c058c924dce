# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.training.negatives import NUM_KEYS, clip_keys, equal_texts, excluded_pairs

from .reference import ROWS, make_batch, related

MODES = ("all", "same-text", "ancestor", "overlap", "same-video")
# Times in quarters of a second: half of a clip is exact.
row = st.tuples(
    *(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.integers(0, 12), st.integers(1, 8)),
    st.sampled_from("abc"),
).map(lambda row: (row[0] + 10 * row[1], row[1], row[2], row[3] / 4, (row[3] + row[4]) / 4, row[5]))


def excluded(rows: list[tuple], negatives: str) -> torch.Tensor:
    keys = clip_keys(make_batch(rows))
    return excluded_pairs(keys, keys, negatives)


@pytest.mark.parametrize("negatives", MODES)
@given(rows=st.lists(row, min_size=2, max_size=8))
def test_as_written_out(negatives, rows):
    found = excluded(rows, negatives)
    assert found.tolist() == [[related(one, other, negatives) for other in rows] for one in rows]
    assert torch.equal(found, found.T)


@given(rows=st.lists(row, min_size=2, max_size=8))
def test_each_choice_excludes_what_those_before_it_exclude(rows):
    masks = [excluded(rows, negatives) for negatives in MODES]
    for fewer, more in pairwise(masks):
        assert not (fewer & ~more).any()


def test_a_corpus_of_levels():
    """Row by row, the numbers of what a phase, its steps and their tasks are not told apart from."""
    assert excluded(ROWS, "ancestor")[0].nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 5, 6, 11]
    assert excluded(ROWS, "ancestor")[4].nonzero().flatten().tolist() == [0, 1, 2, 4, 11]
    assert excluded(ROWS, "all")[0].nonzero().flatten().tolist() == [0, 11]
    assert not excluded(ROWS, "overlap")[9, 10], "they touch"
    assert excluded(ROWS, "overlap")[7, 8] and not excluded(ROWS, "ancestor")[7, 8], "of one level"
    assert not excluded(ROWS, "overlap")[14, 15], "they touch, a million seconds on"


def test_texts_are_compared_as_the_model_reads_them():
    batch = make_batch([(1, 1, 0, 0.0, 1.0, "a"), (2, 2, 0, 0.0, 1.0, "a"), (3, 3, 0, 0.0, 1.0, "b")])
    keys = clip_keys(batch)
    assert equal_texts(keys, keys).tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    longer = {
        **batch,
        **{name: torch.nn.functional.pad(batch[name], (0, 3)) for name in ("input_ids", "attention_mask")},
    }
    assert torch.equal(clip_keys(longer), keys), "padding is no text"


@pytest.mark.parametrize("end", [1e300, 2.0**41])
def test_times_that_cannot_be_do_no_harm(end):
    keys = clip_keys(make_batch([(1, 1, 0, 0.0, end, "a"), (2, 1, 2, 1.0, end, "b"), (3, 1, 2, 0.0, 1.0, "c")]))
    assert keys.shape == (3, NUM_KEYS)
    assert excluded_pairs(keys, keys, "ancestor").tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]
