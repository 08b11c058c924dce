# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.evaluation.ranks import match_ranks, recall_draws, retrieval_metrics


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


def test_draws_of_recall_are_scipys_bootstrap_of_whole_videos():
    random = np.random.default_rng(3)
    ranks, videos = torch.from_numpy(random.integers(1, 15, 60)), random.choice(list("abcdef"), 60).tolist()
    draws = recall_draws(ranks, videos, 500, "text_to_video")
    assert set(draws) == {f"text_to_video_R@{k}" for k in (1, 5, 10)}
    names = list(dict.fromkeys(videos))
    numbers = np.array([videos.count(name) for name in names])
    for k in (1, 5, 10):
        hits = np.array([sum(r <= k for r, v in zip(ranks.tolist(), videos, strict=True) if v == n) for n in names])
        found = scipy.stats.bootstrap(
            (hits, numbers),
            lambda h, n, axis: h.sum(axis=axis) / n.sum(axis=axis),
            paired=True,
            vectorized=True,
            n_resamples=500,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        ends = np.percentile(draws[f"text_to_video_R@{k}"], [2.5, 97.5])
        assert ends == pytest.approx([found.low, found.high], abs=1e-12)
    assert recall_draws(ranks, ["a"] * 60, 500, "x") == {} and recall_draws(ranks, videos, 0, "x") == {}
