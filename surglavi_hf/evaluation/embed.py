# SPDX-License-Identifier: Apache-2.0
"""Embeddings of clips and texts: the one place that reads the clips of an evaluation."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..data import VideoDecodeError
from ..files import printable
from ..interrupts import interrupts_for_us_alone

logger = logging.getLogger(__name__)

_LONGEST_REASON = 300  # characters


@dataclass(frozen=True)
class ClipEmbeddings:
    """
    Args:
        embeds: `torch.float32` of shape `(len(rows), projection_dim)`, on the CPU.
        rows: Of the dataset, whose clips could be read, in order.
        unreadable: Why the clips of the other rows could not, by row.
    """

    embeds: torch.Tensor
    rows: list[int]
    unreadable: dict[int, str]


@torch.no_grad()
def embed_clips(
    model: Any, processor: Any, dataset: Dataset, batch_size: int = 32, num_workers: int = 0, strict: bool = False
) -> ClipEmbeddings:
    """
    Returns the embeddings of the clips of a SurgLaVi dataset that can be read, and which cannot. Frames are the
    centres of equal segments of the clip, as many as the processor says. Clips that cannot be read go through the
    model as zeros, so that processes of one model stay in step.

    Args:
        model: Has `get_video_features(pixel_values)`, as [`SurgCLIPModel`]. Put in evaluation mode for the time.
        processor: A SurgCLIPProcessor.
        dataset: Rows with a `clip` column.
        batch_size: Clips a forward pass.
        num_workers: Processes that decode clips.
        strict: Raise at the first clip that cannot be read.

    Raises:
        ValueError: `dataset` is empty, or an embedding is not finite.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    if not len(dataset):
        raise ValueError("no clips to embed: the dataset is empty; choose another split or level")
    clips = dataset.select_columns("clip")
    loader = DataLoader(clips, batch_size, collate_fn=_Reader(processor), num_workers=num_workers)
    with interrupts_for_us_alone():
        batches = iter(loader)
    embeds, unreadable = [], {}
    with evaluating(model):
        for batch, (pixel_values, reasons) in enumerate(tqdm(batches, "embed clips", len(loader), unit="batch")):
            if strict and reasons:
                raise VideoDecodeError(f"a clip cannot be read: {next(iter(reasons.values()))}")
            unreadable |= {batch * batch_size + place: reason for place, reason in reasons.items()}
            embeds.append(model.get_video_features(pixel_values.to(model.device)).pooler_output.float().cpu())
    if unreadable:
        what = f"{len(unreadable)} of {len(clips)} clips cannot be read and are left out"
        logger.warning("%s; the first: %s", what, next(iter(unreadable.values())))
    rows = [row for row in range(len(clips)) if row not in unreadable]
    return ClipEmbeddings(finite(torch.cat(embeds)[rows], "clips"), rows, unreadable)


class _Reader:
    """Makes a batch of rows, and why some are zeros in it; a class, since workers may be started and not forked."""

    def __init__(self, processor: Any):
        self.processor = processor

    def __call__(self, rows: list[dict]) -> tuple[torch.Tensor, dict[int, str]]:
        num_frames = self.processor.video_processor.num_frames
        clips, reasons = {}, {}
        for place, row in enumerate(rows):
            try:
                clips[place] = self._process(row["clip"].frames(num_frames))
            except (OSError, ValueError, VideoDecodeError) as error:
                reasons[place] = " ".join(str(error).split()) or type(error).__name__
        like = next(iter(clips.values())) if clips else self._process(torch.zeros(num_frames, 3, 16, 16).byte())
        return torch.stack([clips.get(place, torch.zeros_like(like)) for place in range(len(rows))]), reasons

    def _process(self, frames: torch.Tensor) -> torch.Tensor:
        return self.processor(videos=[frames], return_tensors="pt")["pixel_values"][0]


def check_any(found: ClipEmbeddings) -> ClipEmbeddings:
    """Returns its argument. Raises ValueError where none of the clips could be read."""
    if not found.rows:
        count, first = len(found.unreadable), next(iter(found.unreadable.values()))
        raise ValueError(f"none of {count} clips can be read; are the videos or frames there? The first: {first}")
    return found


def list_unreadable(dataset: Dataset, unreadable: Mapping[int, str]) -> list[dict[str, str | int | float | None]]:
    """
    Returns for each clip that cannot be read `caption_id` (None where the dataset has none), `video_name`,
    `start_time`, `end_time` (s) and `reason`, in which there are no folders of this machine.

    Args:
        dataset: Rows with a `clip` column.
        unreadable: Reasons by row.
    """
    listed = []
    for row, reason in unreadable.items():
        clip = dataset[row]["clip"]
        # What is left of a path is its last name.
        reason = re.sub(r"(/[^/\s]+)+/(?=[^/\s])", "", reason.replace(f"{clip.video_dir}/", ""))
        listed.append(
            {
                "caption_id": dataset[row].get("caption_id"),
                "video_name": clip.video_name,
                "start_time": clip.start_time,
                "end_time": clip.end_time,
                "reason": printable(reason)[:_LONGEST_REASON],
            }
        )
    return listed


@torch.no_grad()
def embed_texts(model: Any, processor: Any, texts: Sequence[str], batch_size: int = 256) -> torch.Tensor:
    """
    Returns text embeddings, `torch.float32` of shape `(len(texts), projection_dim)`, on the CPU.

    Args:
        model: Has `get_text_features(input_ids, attention_mask)`, as [`SurgCLIPModel`].
        processor: A SurgCLIPProcessor.
        texts: Captions or prompts.
        batch_size: Texts a forward pass.

    Raises:
        ValueError: an embedding is not finite.
    """
    embeds = []
    with evaluating(model):
        for start in range(0, len(texts), batch_size):
            inputs = processor(text=list(texts[start : start + batch_size]), return_tensors="pt").to(model.device)
            embeds.append(model.get_text_features(**inputs).pooler_output.float().cpu())
    return finite(torch.cat(embeds), "texts")


def finite(embeds: torch.Tensor, what: str) -> torch.Tensor:
    """Returns `embeds`, of shape `(num_rows, dim)`. Raises ValueError where one of these is not finite."""
    bad = (~embeds.isfinite()).any(dim=1).sum().item()
    if bad:
        raise ValueError(
            f"the embeddings of {bad} of {len(embeds)} {what} are not finite; the model cannot be evaluated"
        )
    return embeds


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode for the time of a `with`."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
