# SPDX-License-Identifier: Apache-2.0
"""Zero-shot classification of SurgLaVi clips, with one prompt a class."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset

from .embed import check_any, embed_clips, embed_texts, list_unreadable
from .metrics import classification_metrics
from .overlap import trained_overlap
from .report import EvalReport


def zero_shot_clips(
    model: Any,
    processor: Any,
    dataset: Dataset,
    prompts: Sequence[str],
    labels: Sequence[int],
    benchmark: str = "surglavi",
    clip_embeds: torch.Tensor | None = None,
    strict: bool = False,
) -> EvalReport:
    """
    Classifies clips by the prompt of highest cosine similarity; returns accuracy and macro F1 over all clips. Those
    that cannot be read are left out, of `predictions` too; the report counts and lists them.

    Args:
        model: Has `get_video_features` and `get_text_features`, as [`SurgCLIPModel`].
        processor: A SurgCLIPProcessor.
        dataset: Rows with a `clip` column.
        prompts: One text a class.
        labels: The true class of each row, an index into `prompts`.
        benchmark: Name for the report.
        clip_embeds: Embeddings of the rows, of shape `(len(dataset), projection_dim)`, where they are known already.
        strict: Raise at the first clip that cannot be read.

    Raises:
        ValueError: not one label a row, a label without a prompt, an empty dataset, or none of its clips can be read.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    if len(labels) != len(dataset):
        raise ValueError(f"{len(labels)} labels for {len(dataset)} clips, expected one each")
    if bad := [label for label in labels if not 0 <= label < len(prompts)]:
        raise ValueError(f"label {bad[0]} has no prompt, expected an index below {len(prompts)}")
    started = time.perf_counter()
    unreadable = []
    if clip_embeds is None:
        found = check_any(embed_clips(model, processor, dataset, strict=strict))
        clip_embeds, labels = found.embeds, [labels[row] for row in found.rows]  # (N, D)
        unreadable = list_unreadable(dataset, found.unreadable)
    class_embeds = embed_texts(model, processor, prompts)  # (C, D)
    predictions = (clip_embeds @ class_embeds.T).argmax(dim=1).tolist()
    return EvalReport(
        benchmark=benchmark,
        metrics=classification_metrics(labels, predictions, num_classes=len(prompts)),
        protocol={
            "num_clips": len(labels),
            "num_unreadable_clips": len(unreadable),
            "num_classes": len(prompts),
            "num_frames": processor.video_processor.num_frames,
            "frame_sampling": "middle",
            "prompts_per_class": 1,
            "average": "all clips",
            "trained_on_videos": trained_overlap(model, dataset),
        },
        predictions=predictions,
        seconds=time.perf_counter() - started,
        unreadable=unreadable,
    )
