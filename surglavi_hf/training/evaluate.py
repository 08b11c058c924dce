# SPDX-License-Identifier: Apache-2.0
"""Zero-shot classification and retrieval on the validation split, between two steps."""

import logging

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from datasets import Dataset
from torch import nn

from ..data import Clip, Level, VideoDecodeError
from ..evaluation import embed_clips, retrieval, zero_shot_clips
from .trained_model import EncodersOf

logger = logging.getLogger(__name__)


def validate(accelerator: Accelerator, model: nn.Module, processor, dataset: Dataset) -> dict[str, float]:
    """
    Returns figures by name: for each level the accuracy of choosing a clip's caption among all captions of its level,
    with that of chance, and over all clips the recall at 1, 5 and 10 and the median rank of clips for captions.

    Every process must call it, and embeds its part of the clips. Random numbers of the training are left as they are.
    Clips that cannot be read are left out, and `unreadable` says how many. An evaluation that fails is logged, has no
    figures, and does not end the training.

    Args:
        model: A prepared [`TrainedModel`].
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
    rows = _Readable(dataset, [min(row, len(dataset) - 1) for row in range(index * size, (index + 1) * size)])
    try:
        mine, error = embed_clips(encoders, processor, rows), None
    except ValueError as caught:
        mine, error = torch.empty(0), str(caught)
    parts = gather_object([(mine, rows.unreadable, error)])
    if errors := [error for *_, error in parts if error]:
        raise ValueError(errors[0])
    unreadable = set().union(*(part for _, part, _ in parts))
    readable = [row for row in range(len(dataset)) if row not in unreadable]
    if not readable:
        raise ValueError(f"none of {len(dataset)} validation clips can be read")
    return torch.cat([part for part, *_ in parts])[: len(dataset)][readable], readable


class _Readable:
    """Rows of a dataset whose clips show black where they cannot be read, so that processes keep in step."""

    def __init__(self, dataset: Dataset, rows: list[int]):
        self.dataset, self.rows, self.unreadable = dataset, rows, set()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict:
        return {"clip": _ClipOrBlack(self.dataset[self.rows[place]]["clip"], self.rows[place], self.unreadable)}

    def select_columns(self, names: str) -> "_Readable":
        return self


class _ClipOrBlack:
    def __init__(self, clip: Clip, row: int, unreadable: set[int]):
        self.clip, self.row, self.unreadable = clip, row, unreadable

    def frames(self, num_frames: int) -> torch.Tensor:
        try:
            return self.clip.frames(num_frames)
        except (OSError, ValueError, VideoDecodeError) as error:
            if self.row not in self.unreadable:
                logger.warning("a validation clip is left out: %s", error)
            self.unreadable.add(self.row)
            return torch.zeros(num_frames, 3, 16, 16, dtype=torch.uint8)
