# SPDX-License-Identifier: Apache-2.0
"""Embeddings of very many clips, some of which cannot be read, by runs that may be stopped."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from ..data import VideoDecodeError
from ..files import written_whole
from .embed import embed_clips
from .embed_benchmark import store_key
from .encoders import encoder_of

logger = logging.getLogger(__name__)

_PART = 256  # clips


def distinct_rows(dataset: Dataset) -> list[int]:
    """
    Returns the first row of each video and interval, in order.

    Raises:
        ValueError: there are no rows.
    """
    intervals = zip(dataset["video_name"], dataset["start_time"], dataset["end_time"], strict=True)
    first = {interval: row for row, interval in reversed(list(enumerate(intervals)))}
    if not first:
        raise ValueError("no clips to embed: the dataset is empty; choose another split or level")
    return sorted(first.values())


def embed_readable(
    model: Any, processor: Any, dataset: Dataset, parts: Path, batch_size: int = 32
) -> tuple[list[int], np.ndarray]:
    """
    Returns which rows can be read, and their embeddings, float32 of shape `(len(rows), projection_dim)`. Others are
    left out with a warning.

    Args:
        model, processor: As of [`embed_clips`].
        dataset: Rows of SurgLaVi.
        parts: Folder for what is done, so that a run that was stopped goes on; made where it is absent.
        batch_size: Clips a forward pass.

    Raises:
        ValueError: none can be read.
    """
    description = encoder_of(model, processor).describe()
    parts.mkdir(parents=True, exist_ok=True)
    rows, embeds = [], []
    for start in tqdm(range(0, len(dataset), _PART), desc="embed clips", unit=f"{_PART} clips"):
        part = dataset.select(range(start, min(start + _PART, len(dataset))))
        clips = [list(part[name]) for name in ("video_name", "start_time", "end_time")]
        path = parts / f"{store_key(description, *clips)}.npz"
        readable, found = _embed_part(model, processor, part, path, batch_size)
        rows += [start + row for row in readable]
        embeds += [found] if readable else []
    if not rows:
        raise ValueError(f"none of {len(dataset)} clips can be read; are the videos or frames there?")
    return rows, np.concatenate(embeds)


def _embed_part(
    model: Any, processor: Any, part: Dataset, path: Path, batch_size: int
) -> tuple[list[int], np.ndarray]:
    """Rows that can be read and their embeddings; from the file where they are there."""
    rows, embeds = [], []
    if path.is_file():
        with np.load(path, allow_pickle=False) as known:
            rows, embeds = known["rows"].tolist(), [known["embeds"]] if len(known["rows"]) else []
    missing = sorted(set(range(len(part))) - set(rows))  # what could not be read may have come since
    if not missing:
        return rows, embeds[0]
    added, found = _embed_rows(model, processor, part, missing, batch_size)
    order = np.argsort(rows + added)
    rows = [(rows + added)[place] for place in order]
    embeds = np.concatenate(embeds + found)[order] if rows else np.zeros((0, 1), np.float32)
    with written_whole(path) as beside, beside.open("wb") as file:
        np.savez(file, rows=np.array(rows, np.int64), embeds=embeds)
    return rows, embeds


def _embed_rows(
    model: Any, processor: Any, part: Dataset, rows: list[int], batch_size: int
) -> tuple[list[int], list[np.ndarray]]:
    """Where some cannot be read, each half is tried by itself, so that the others stay together."""
    try:
        return rows, [embed_clips(model, processor, part.select(rows), batch_size).numpy()]
    except (OSError, VideoDecodeError) as error:
        if len(rows) == 1:
            logger.warning("a clip is left out: %s", error)
            return [], []
    half = len(rows) // 2
    first, second = (_embed_rows(model, processor, part, some, batch_size) for some in (rows[:half], rows[half:]))
    return first[0] + second[0], first[1] + second[1]
