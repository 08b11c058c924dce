# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.evaluation.ranks import match_ranks, retrieval_metrics


def ranks_by_sorting(scores: torch.Tensor, is_match: torch.Tensor) -> list[int]:
    """Non-matches come before matches of equal score."""
    ranks = []
    for row, matching in zip(scores, is_match, strict=True):
        order = sorted(range(len(row)), key=lambda item: (-row[item].item(), bool(matching[item])))
        ranks.append(1 + next(place for place, item in enumerate(order) if matching[item]))
    return ranks


@given(st.data())
def test_chunked_equals_sorting_the_full_matrix(data):
    num_queries, num_items = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    numbers = st.integers(-2, 2)  # whole, so that scores are exact and ties are frequent
    queries = torch.tensor(
        data.draw(st.lists(st.tuples(numbers, numbers), min_size=num_queries, max_size=num_queries))
    )
    items = torch.tensor(data.draw(st.lists(st.tuples(numbers, numbers), min_size=num_items, max_size=num_items)))
    pairs = {(query, data.draw(st.integers(0, num_items - 1))) for query in range(num_queries)}
    pairs |= data.draw(st.sets(st.tuples(st.integers(0, num_queries - 1), st.integers(0, num_items - 1))))
    matches = torch.tensor(list(pairs))
    is_match = torch.zeros(num_queries, num_items, dtype=torch.bool)
    is_match[matches[:, 0], matches[:, 1]] = True
    expected = ranks_by_sorting(queries @ items.T, is_match)
    for chunk_size in (None, 1, data.draw(st.integers(1, 12))):
        ranks = match_ranks(queries.float(), items.float(), matches, chunk_size)
        assert ranks.tolist() == expected


def test_a_model_that_tells_nothing_apart_finds_nothing():
    matches = torch.tensor([[0, 3]])
    assert match_ranks(torch.ones(1, 2), torch.ones(10, 2), matches).tolist() == [10]


def test_a_query_without_match():
    with pytest.raises(ValueError, match="query 1 has no match"):
        match_ranks(torch.ones(2, 2), torch.ones(3, 2), torch.tensor([[0, 1]]))


def test_metrics():
    matches = torch.tensor([[0, 0], [1, 1], [2, 2], [3, 3]])
    metrics = retrieval_metrics(torch.tensor([1, 2, 7, 11]), matches, 50, "text_to_video")
    assert [metrics[f"text_to_video_R@{k}"] for k in (1, 5, 10)] == [0.25, 0.5, 0.75]
    assert metrics["text_to_video_median_rank"] == 4.5 and metrics["text_to_video_median_rank_percentile"] == 9
    assert metrics["text_to_video_R@1_chance"] == 0.02
