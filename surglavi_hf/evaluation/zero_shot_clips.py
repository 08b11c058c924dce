# SPDX-License-Identifier: Apache-2.0
"""Zero-shot classification of SurgLaVi clips, with one prompt a class."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from .clip_embeddings import EmbeddingOptions, KnownEmbeddings, clips_of, embed_texts
from .encoders import text_encoder_of
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
    clip_embeds: KnownEmbeddings | None = None,
    options: EmbeddingOptions | None = None,
    parts: Path | None = None,
) -> EvalReport:
    """
    Classifies clips by the prompt of highest cosine similarity; returns accuracy and macro F1 over all clips. Those
    that cannot be read are left out, of `predictions` too; the report counts and lists them.

    Args:
        model, processor: As [`zero_shot`].
        dataset: Rows with a `clip` column.
        prompts: One text a class.
        labels: The true class of each row, an index into `prompts`.
        benchmark: Name for the report.
        clip_embeds, options, parts: As [`retrieval`].

    Raises:
        ValueError: not one label a row, a label without a prompt, an empty dataset, none of its clips can be read or
            has an embedding, or embeddings are of another model.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    if len(labels) != len(dataset):
        raise ValueError(f"{len(labels)} labels for {len(dataset)} clips, expected one each")
    if bad := [label for label in labels if not 0 <= label < len(prompts)]:
        raise ValueError(f"label {bad[0]} has no prompt, expected an index below {len(prompts)}")
    started = time.perf_counter()
    encoder = text_encoder_of(model, processor)
    found = clips_of(encoder, dataset, list(range(len(dataset))), clip_embeds, options, parts)
    labels = [labels[row] for row in found.rows]
    class_embeds = embed_texts(encoder, None, prompts)  # (C, D)
    predictions = (found.embeds @ class_embeds.T).argmax(dim=1).tolist()
    return EvalReport(
        benchmark=benchmark,
        metrics=classification_metrics(labels, predictions, num_classes=len(prompts)),
        protocol={
            "num_clips": len(labels),
            **found.protocol,
            "num_classes": len(prompts),
            "num_frames": encoder.num_frames,
            **encoder.text_protocol(prompts),
            "frame_sampling": "middle",
            "prompts_per_class": 1,
            "average": "all clips",
            "trained_on_videos": trained_overlap(encoder.model, dataset),
        },
        predictions=predictions,
        seconds=time.perf_counter() - started,
        unreadable=found.listed,
    )
