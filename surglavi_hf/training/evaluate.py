# SPDX-License-Identifier: Apache-2.0
"""Zero-shot classification and retrieval on the validation split, between two steps."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from datasets import Dataset
from torch import nn

from ..data import Level
from ..evaluation import embed_clips, retrieval, zero_shot_clips
from ..evaluation.clip_embeddings import check_any
from ..evaluation.encoders import ClipEncoder

logger = logging.getLogger(__name__)


class PreparedEncoder(ClipEncoder):
    """
    A prepared [`ContrastiveModel`] as evaluations take models. Every process must call it alike, since FSDP gathers
    weights at each call.
    """

    def __init__(self, prepared: nn.Module, processor: Any, device: torch.device):
        super().__init__(prepared, processor)
        self.device = device

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        # What is not finite is found once every process is through.
        return {"projected": self.model(pixel_values=frames[windows].to(self.device)).video_embeds.float().cpu()}

    def embed_captions(self, texts: Sequence[str]) -> torch.Tensor:
        inputs = self.processor(text=list(texts), return_tensors="pt").to(self.device)
        outputs = self.model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        return outputs.text_embeds.float().cpu()

    def describe(self) -> dict[str, str | None]:
        return {}  # of weights that change with the next step


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
    encoder = PreparedEncoder(model, processor, accelerator.device)
    devices = [] if accelerator.device.type == "cpu" else [accelerator.device]
    with torch.random.fork_rng(devices=devices, device_type=accelerator.device.type if devices else "cuda"):
        try:
            found = check_any(embed_clips(encoder, None, dataset, in_step=True))
        except ValueError as error:
            logger.error("there are no validation figures: %s", error)
            return {}
        metrics = {"validation/unreadable": len(found.unreadable)} if found.unreadable else {}
        dataset, clip_embeds = dataset.select(found.rows), found.embeds
        levels = dataset["level"]
        for level in Level:
            rows = [row for row, value in enumerate(levels) if value == level - 1]
            if not rows:
                continue
            part, name = dataset.select(rows), level.name.lower()
            captions = list(part["caption"])
            prompts = list(dict.fromkeys(captions))
            labels = [prompts.index(caption) for caption in captions]
            report = zero_shot_clips(encoder, None, part, prompts, labels, name, clip_embeds[rows])
            metrics |= {f"validation/{name}_{key}": report.metrics[key] for key in ("accuracy", "chance")}
        report = retrieval(encoder, None, dataset, "validation", clip_embeds)
    return metrics | {f"validation/{name}": value for name, value in report.metrics.items()}
