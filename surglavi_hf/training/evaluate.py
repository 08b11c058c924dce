# SPDX-License-Identifier: Apache-2.0
"""Zero-shot classification and retrieval on the validation split, between two steps."""

import logging

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from datasets import Dataset
from torch import nn

from ..data import Level
from ..evaluation import embed_clips, retrieval, zero_shot_clips
from .contrastive_model import EncodersOf

logger = logging.getLogger(__name__)


def validate(accelerator: Accelerator, model: nn.Module, processor, dataset: Dataset) -> dict[str, float]:
    """
    Returns figures by name: for each level the accuracy of choosing a clip's caption among all captions of its level,
    with that of chance, and over all clips the recall at 1, 5 and 10 and the median rank of clips for captions.

    Every process must call it, and embeds its part of the clips. Random numbers of the training are left as they are.
    Clips that cannot be read are left out, and `unreadable` says how many. An evaluation that fails is logged, has no
    figures, and does not end the training.

    Args:
        model: A prepared [`ContrastiveModel`].
        processor: A SurgCLIPProcessor.
        dataset: Rows of the validation split.
    """
    encoders = EncodersOf(model, accelerator.device)
    devices = [] if accelerator.device.type == "cpu" else [accelerator.device]
    with torch.random.fork_rng(devices=devices, device_type=accelerator.device.type if devices else "cuda"):
        try:
            clip_embeds, readable = _embed_together(accelerator, encoders, processor, dataset)
        except ValueError as error:
            logger.error("there are no validation figures: %s", error)
            return {}
        metrics = {"validation/unreadable": len(dataset) - len(readable)} if len(readable) < len(dataset) else {}
        dataset = dataset.select(readable)
        levels = dataset["level"]
        for level in Level:
            rows = [row for row, value in enumerate(levels) if value == level - 1]
            if not rows:
                continue
            part, name = dataset.select(rows), level.name.lower()
            captions = list(part["caption"])
            prompts = list(dict.fromkeys(captions))
            labels = [prompts.index(caption) for caption in captions]
            report = zero_shot_clips(encoders, processor, part, prompts, labels, name, clip_embeds[rows])
            metrics |= {f"validation/{name}_{key}": report.metrics[key] for key in ("accuracy", "chance")}
        report = retrieval(encoders, processor, dataset, "validation", clip_embeds)
    return metrics | {f"validation/{name}": value for name, value in report.metrics.items()}


def _embed_together(
    accelerator: Accelerator, encoders: EncodersOf, processor, dataset: Dataset
) -> tuple[torch.Tensor, list[int]]:
    """
    Returns embeddings of the clips that can be read, and their rows. Processes take equal numbers, the last clip
    several times if need be.

    Raises:
        ValueError: on all processes, if no clip can be read or an embedding of any process is not finite.
    """
    count, index = accelerator.num_processes, accelerator.process_index
    size = -(-len(dataset) // count)
    rows = [min(row, len(dataset) - 1) for row in range(index * size, (index + 1) * size)]
    try:
        found, error = embed_clips(encoders, processor, dataset.select(rows)), None
        embeds, read = found.embeds, [rows[place] for place in found.rows]
    except ValueError as caught:
        embeds, read, error = torch.empty(0), [], str(caught)
    parts = gather_object([(embeds, read, error)])
    if errors := [error for *_, error in parts if error]:
        raise ValueError(errors[0])
    every = [row for _, read, _ in parts for row in read]
    if not every:
        raise ValueError(f"none of {len(dataset)} validation clips can be read")
    first = {row: place for place, row in reversed(list(enumerate(every)))}
    readable = sorted(first)
    return torch.cat([embeds for embeds, *_ in parts])[[first[row] for row in readable]], readable
