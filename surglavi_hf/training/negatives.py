# SPDX-License-Identifier: Apache-2.0
"""Which clip-caption pairs of a batch are told apart.

Levels nest: the caption of a phase is true of every step and task in it, and on real data captions occur many times.
Taken for negatives, such pairs teach the model to deny what is true.
"""

import hashlib

import torch

from .config import Negatives

NUM_KEYS = 6
_CAPTION, _VIDEO, _LEVEL, _START, _END, _TEXT = range(NUM_KEYS)
_LATEST = 2.0**40  # s; keeps differences of microseconds within 64 bits, whatever a file says


def clip_keys(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """
    Returns what [`excluded_pairs`] has to know of each row of a [`ClipCollator`]'s batch, `torch.int64` of shape
    `(batch_size, NUM_KEYS)`, in one tensor since every process needs that of all others: numbers of the caption, the
    video and the level, start and end in microseconds, and a hash of the caption's tokens. Texts that are one to the
    model, such as those that differ in punctuation alone, have one hash.
    """
    texts = [ids[mask.bool()].numpy().tobytes() for ids, mask in zip(*_tokens(batch), strict=True)]
    hashes = [int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True) for text in texts]
    times = [(batch[name].double().clamp(0, _LATEST) * 1e6).round().long() for name in ("start_time", "end_time")]
    numbers = [batch[name].long() for name in ("caption_id", "video_id", "level")]
    return torch.stack([*numbers, *times, torch.tensor(hashes)], dim=1)  # (B, NUM_KEYS)


def _tokens(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return batch["input_ids"], batch["attention_mask"]


def equal_texts(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """
    Returns which captions are the same to the model, boolean of shape `(num_rows, num_columns)`.

    Args:
        rows: Of shape `(num_rows, NUM_KEYS)`, from [`clip_keys`].
        columns: Of shape `(num_columns, NUM_KEYS)`.
    """
    return rows[:, None, _TEXT] == columns[None, :, _TEXT]


def excluded_pairs(rows: torch.Tensor, columns: torch.Tensor, negatives: Negatives) -> torch.Tensor:
    """
    Returns which pairs are no negatives, boolean of shape `(num_rows, num_columns)`; the relation is symmetric. Each
    choice excludes what those before it exclude, and more:

    - `"all"`: only a caption and itself, where a clip was drawn twice.
    - `"same-text"`: pairs of one text.
    - `"ancestor"`: pairs of one video and two levels where the clip of the upper level covers at least half of the
      other, as a step covers its tasks and a phase its steps and their tasks.
    - `"overlap"`: pairs of one video whose clips share any time, whatever their levels.
    - `"same-video"`: pairs of one video.

    Args:
        rows: Of shape `(num_rows, NUM_KEYS)`, from [`clip_keys`].
        columns: Of shape `(num_columns, NUM_KEYS)`.
        negatives: Which.
    """
    rows, columns = rows[:, None].unbind(dim=2), columns[None].unbind(dim=2)  # each (R, 1) or (1, C)
    excluded = rows[_CAPTION] == columns[_CAPTION]
    if negatives == "all":
        return excluded
    excluded |= rows[_TEXT] == columns[_TEXT]
    if negatives == "same-text":
        return excluded
    same_video = rows[_VIDEO] == columns[_VIDEO]
    if negatives == "same-video":
        return excluded | same_video
    shared = torch.minimum(rows[_END], columns[_END]) - torch.maximum(rows[_START], columns[_START])
    if negatives == "overlap":
        return excluded | same_video & (shared > 0)
    lengths = rows[_END] - rows[_START], columns[_END] - columns[_START]
    child = torch.where(rows[_LEVEL] < columns[_LEVEL], *lengths)
    return excluded | same_video & (rows[_LEVEL] != columns[_LEVEL]) & (shared > 0) & (2 * shared >= child)
