# SPDX-License-Identifier: Apache-2.0
"""Text-to-video retrieval."""

import time
from typing import Any

import torch
from datasets import Dataset

from .embed import embed_clips, embed_texts
from .metrics import retrieval_metrics, retrieval_ranks
from .report import EvalReport


def retrieval(
    model: Any,
    processor: Any,
    dataset: Dataset,
    benchmark: str = "surglavi",
    clip_embeds: torch.Tensor | None = None,
) -> EvalReport:
    """
    Ranks all clips for each distinct caption; a clip with that very caption is a match. `predictions` are the ranks
    of the first match, one for each distinct caption in order of first appearance.

    Args:
        model: Has `get_video_features` and `get_text_features`, as [`SurgCLIPModel`].
        processor: A SurgCLIPProcessor.
        dataset: Rows with `clip` and `caption` columns.
        benchmark: Name for the report.
        clip_embeds: Embeddings of the rows, of shape `(len(dataset), projection_dim)`, where they are known already.

    Raises:
        ValueError: `dataset` is empty.
    """
    started = time.perf_counter()
    if clip_embeds is None:
        clip_embeds = embed_clips(model, processor, dataset)  # (N, D)
    captions = list(dataset["caption"])
    queries = list(dict.fromkeys(captions))
    place = {caption: index for index, caption in enumerate(queries)}
    caption_of_clip = torch.tensor([place[caption] for caption in captions])
    is_match = torch.arange(len(queries))[:, None] == caption_of_clip  # (Q, N)
    scores = embed_texts(model, processor, queries) @ clip_embeds.T  # (Q, N)
    ranks = retrieval_ranks(scores, is_match)
    return EvalReport(
        benchmark=benchmark,
        metrics=retrieval_metrics(ranks, is_match, "text_to_video"),
        protocol={
            "num_clips": len(dataset),
            "num_queries": len(queries),
            "num_frames": processor.video_processor.num_frames,
            "frame_sampling": "middle",
            "match": "equal caption",
        },
        predictions=ranks.tolist(),
        seconds=time.perf_counter() - started,
    )
