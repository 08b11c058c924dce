# SPDX-License-Identifier: Apache-2.0
"""Ranks of matches among all items, a part of the similarities at a time."""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from tqdm.auto import tqdm

from .measures import bootstrap_counts

RECALLS = (1, 5, 10)
SIMILARITIES_HELD = 1 << 26  # numbers: 256 MB, and as much again while they are compared


def match_ranks(
    queries: torch.Tensor, items: torch.Tensor, matches: torch.Tensor, chunk_size: int | None = None
) -> torch.Tensor:
    """
    Returns for each query the rank of its best-placed match, 1 being first; a non-match of equal score comes first, so
    that a model which gives every item one score finds nothing. `torch.int64` of shape `(num_queries,)`.

    Args:
        queries: Embeddings of shape `(num_queries, dim)`.
        items: Embeddings of shape `(num_items, dim)`, on the same device.
        matches: Pairs of a query and an item, of shape `(num_matches, 2)`; at least one a query.
        chunk_size: Queries at a time; by default as many as keep memory below 1 GB.

    Raises:
        ValueError: a query has no match.
    """
    counts = torch.bincount(matches[:, 0], minlength=len(queries))
    if not bool((counts > 0).all()):
        raise ValueError(f"query {counts.argmin().item()} has no match, expected at least one each")
    matches = matches[matches[:, 0].argsort(stable=True)]
    ends = counts.cumsum(dim=0).tolist()
    chunk_size = chunk_size or max(1, SIMILARITIES_HELD // len(items))
    ranks = []
    starts = range(0, len(queries), chunk_size)
    for start in tqdm(starts, desc="rank", unit="chunk", disable=len(starts) < 4):
        end = min(start + chunk_size, len(queries))
        rows, columns = matches[ends[start - 1] if start else 0 : ends[end - 1]].T
        scores = queries[start:end] @ items.T  # (chunk, N)
        best = scores.new_full((end - start,), -torch.inf)
        best.scatter_reduce_(0, rows - start, scores[rows - start, columns], "amax")
        ahead = scores >= best[:, None]
        ahead[rows - start, columns] = False
        ranks.append(1 + ahead.sum(dim=1))
    return torch.cat(ranks)


def retrieval_metrics(
    ranks: torch.Tensor, matches: torch.Tensor, num_items: int, direction: str
) -> dict[str, float | None]:
    """
    Returns `<direction>_R@1`, `_R@5`, `_R@10`, `_median_rank`, `_median_rank_percentile` (of the items, in percent)
    and `_R@1_chance`: the R@1 of a random order.

    Args:
        ranks: Of shape `(num_queries,)`.
        matches: As [`match_ranks`].
        num_items: Among which was ranked.
        direction: "text_to_video" or "video_to_text".
    """
    metrics: dict[str, float | None] = {f"{direction}_R@{k}": (ranks <= k).double().mean().item() for k in RECALLS}
    median = ranks.double().quantile(0.5).item()
    metrics[f"{direction}_median_rank"] = median
    metrics[f"{direction}_median_rank_percentile"] = 100 * median / num_items
    metrics[f"{direction}_R@1_chance"] = len(matches) / len(ranks) / num_items
    return metrics


def recall_draws(
    ranks: torch.Tensor, videos: Sequence[Hashable], resamples: int, direction: str
) -> dict[str, np.ndarray]:
    """
    Returns `<direction>_R@1`, `_R@5` and `_R@10` of draws of whole videos, of shape `(resamples,)`; nothing where
    there is one video alone.

    Args:
        ranks: Of shape `(num_queries,)`.
        videos: Of each query.
        resamples: How many draws.
        direction: "text_to_video" or "video_to_text".
    """
    places = {video: place for place, video in enumerate(dict.fromkeys(videos))}
    if len(places) < 2 or not resamples:
        return {}
    of_query = np.array([places[video] for video in videos])
    drawn = bootstrap_counts(len(places), resamples)
    numbers = np.bincount(of_query, minlength=len(places))
    hits = {k: np.bincount(of_query, (ranks <= k).numpy(), len(places)) for k in RECALLS}
    return {f"{direction}_R@{k}": drawn @ found / (drawn @ numbers) for k, found in hits.items()}
