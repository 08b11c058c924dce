# SPDX-License-Identifier: Apache-2.0
"""Metric values by their full names."""

from collections.abc import Sequence

import torch
from sklearn.metrics import accuracy_score, f1_score


def classification_metrics(labels: Sequence[int], predictions: Sequence[int], num_classes: int) -> dict[str, float]:
    """
    Returns `accuracy`, `macro_f1` (over the classes that occur among labels or predictions) and `chance`, the accuracy
    of guessing among `num_classes` classes.
    """
    return {
        "accuracy": float(accuracy_score(labels, predictions)),
        "macro_f1": float(f1_score(labels, predictions, average="macro", zero_division=0)),
        "chance": 1.0 / num_classes,
    }


def retrieval_ranks(scores: torch.Tensor, is_match: torch.Tensor) -> torch.Tensor:
    """
    Returns for each query the rank of its best-placed match, 1 being first; a non-match of equal score comes first.

    Args:
        scores: Of shape `(num_queries, num_items)`.
        is_match: Boolean, of the same shape; at least one match a row.
    """
    best = scores.masked_fill(~is_match, -torch.inf).max(dim=1, keepdim=True).values
    return 1 + ((scores >= best) & ~is_match).sum(dim=1)


def retrieval_metrics(ranks: torch.Tensor, is_match: torch.Tensor, direction: str) -> dict[str, float]:
    """
    Returns `<direction>_R@1`, `_R@5`, `_R@10`, `_median_rank`, and `_R@1_chance`: the R@1 of a random order.

    Args:
        ranks: Of shape `(num_queries,)`.
        is_match: Boolean, of shape `(num_queries, num_items)`.
        direction: "text_to_video" or "video_to_text".
    """
    metrics = {f"{direction}_R@{k}": (ranks <= k).double().mean().item() for k in (1, 5, 10)}
    metrics[f"{direction}_median_rank"] = ranks.double().quantile(0.5).item()
    metrics[f"{direction}_R@1_chance"] = is_match.double().mean(dim=1).mean().item()
    return metrics
