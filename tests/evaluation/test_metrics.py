# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from sklearn.metrics import f1_score

from surglavi_hf.evaluation.metrics import classification_metrics, retrieval_metrics, retrieval_ranks


def test_classification():
    labels, predictions = [0, 0, 1, 2], [0, 1, 1, 1]
    metrics = classification_metrics(labels, predictions, num_classes=4)
    assert metrics["accuracy"] == 0.5 and metrics["chance"] == 0.25
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert metrics["macro_f1"] == pytest.approx(f1_score(labels, predictions, average="macro"))


def test_ranks_equal_sorting():
    generator = torch.Generator().manual_seed(0)
    scores, is_match = torch.randn(50, 30, generator=generator), torch.rand(50, 30, generator=generator) < 0.1
    is_match[:, 0] = True
    expected = [
        1 + is_match[row][scores[row].argsort(descending=True)].int().argmax().item() for row in range(len(scores))
    ]
    assert retrieval_ranks(scores, is_match).tolist() == expected


def test_a_tie_is_lost():
    """A model that gives every item one score finds nothing."""
    scores, is_match = torch.zeros(1, 10), torch.arange(10)[None] == 3
    assert retrieval_ranks(scores, is_match).tolist() == [10]


def test_retrieval():
    is_match = torch.eye(4, dtype=torch.bool)
    metrics = retrieval_metrics(torch.tensor([1, 2, 7, 11]), is_match, "text_to_video")
    assert [metrics[f"text_to_video_R@{k}"] for k in (1, 5, 10)] == [0.25, 0.5, 0.75]
    assert metrics["text_to_video_median_rank"] == 4.5 and metrics["text_to_video_R@1_chance"] == 0.25
