# SPDX-License-Identifier: Apache-2.0
"""Embeddings of clips and texts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm


@torch.no_grad()
def embed_clips(
    model: Any, processor: Any, dataset: Dataset, batch_size: int = 32, num_workers: int = 0
) -> torch.Tensor:
    """
    Returns the clip embeddings of a SurgLaVi dataset, `torch.float32` of shape `(len(dataset), projection_dim)`, on
    the CPU. Frames are the centres of equal segments of the clip, as many as the processor says.

    Args:
        model: Has `get_video_features(pixel_values)`, as [`SurgCLIPModel`]. Put in evaluation mode for the time.
        processor: A SurgCLIPProcessor.
        dataset: Rows with a `clip` column.
        batch_size: Clips a forward pass.
        num_workers: Processes that decode clips.

    Raises:
        ValueError: `dataset` is empty, or an embedding is not finite.
        FileNotFoundError, VideoDecodeError: as [`Clip.frames`].
    """
    if not len(dataset):
        raise ValueError("no clips to embed: the dataset is empty; choose another split or level")
    num_frames = processor.video_processor.num_frames

    def read(rows: list[dict]) -> torch.Tensor:
        return processor(videos=[row["clip"].frames(num_frames) for row in rows], return_tensors="pt")["pixel_values"]

    loader = DataLoader(dataset.select_columns("clip"), batch_size, collate_fn=read, num_workers=num_workers)
    with evaluating(model):
        embeds = [
            model.get_video_features(pixel_values.to(model.device)).pooler_output.float().cpu()
            for pixel_values in tqdm(loader, desc="embed clips", unit="batch")
        ]
    return finite(torch.cat(embeds), "clips")


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
