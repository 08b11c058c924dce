# SPDX-License-Identifier: Apache-2.0
"""Rows to a batch."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..media import VideoDecodeError
from .clips import Sampling

logger = logging.getLogger(__name__)

MAX_REPLACEMENTS = 10  # tries; if so many clips in a row cannot be read, something else is wrong
_COLUMNS = ("clip", "caption", "caption_id", "video_id", "level", "start_time", "end_time")
# Set the random numbers of replacements and of augmentation apart from those of frames.
_REPLACEMENT, _AUGMENTATION = 1, 2


class ClipCollator:
    """
    Reads the frames of each row's clip and makes the model's inputs. As `collate_fn` of a DataLoader it takes rows as
    they are, with nulls, which torch's own collation refuses, and in the formats "torch" and "numpy", too.

    Args:
        processor: A SurgCLIPProcessor, or anything called alike.
        num_frames: Frames a clip; by default what the processor says.
        sampling: How they are sampled, as in [`Clip.frames`].
        seed: Of the random sampling. A clip's frames depend on it, on the epoch and on the caption id alone, not on
            the batch, the worker or the process that reads it.
        replacements: Rows, a Dataset for example, that stand in for rows whose clip cannot be read: which one depends
            on the seed, the epoch and the caption id alone. By default a clip that cannot be read is an error.
        augment: Changes the frames of a clip, given them and a source of random numbers, such as a
            [`RandomCropAndFlip`]. By default they stay as they are.
    """

    def __init__(
        self,
        processor: Any,
        num_frames: int | None = None,
        sampling: Sampling = "middle",
        seed: int = 0,
        replacements: Sequence[dict] | None = None,
        augment: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None,
    ):
        self.processor = processor
        self.num_frames = num_frames or processor.video_processor.num_frames
        self.sampling = sampling
        self.seed = seed
        self.replacements = replacements
        self.augment = augment
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch random sampling depends on; call it before iterating over a DataLoader."""
        self.epoch = epoch

    def _frames(self, row: dict) -> torch.Tensor:
        frames = row["clip"].frames(self.num_frames, self.sampling, self._generator(row["caption_id"]))
        if self.augment is None:
            return frames
        return self.augment(frames, self._generator(row["caption_id"], _AUGMENTATION))

    def _generator(self, caption_id: int, *purpose: int) -> torch.Generator:
        state = self._random(caption_id, *purpose).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state[0] >> 1))

    def _random(self, caption_id: int, *purpose: int) -> np.random.SeedSequence:
        # In format "torch" the id is a tensor.
        return np.random.SeedSequence([self.seed, self.epoch, int(caption_id) % 2**64, *purpose])

    def _read(self, row: dict) -> tuple[dict, torch.Tensor]:
        """Returns a row and its frames, or those of another row where its clip cannot be read."""
        try:
            return row, self._frames(row)
        except (OSError, ValueError, VideoDecodeError) as error:
            if self.replacements is None:
                raise
            logger.warning("caption %d is replaced: %s", row["caption_id"], error)
            chosen = np.random.default_rng(self._random(row["caption_id"], _REPLACEMENT))
            for index in chosen.integers(len(self.replacements), size=MAX_REPLACEMENTS).tolist():
                other = self.replacements[index]
                try:
                    return other, self._frames(other)
                except (OSError, ValueError, VideoDecodeError) as another:
                    logger.warning("nor can caption %d be read, to replace it: %s", other["caption_id"], another)
            raise

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """
        Returns `pixel_values` of shape `(batch_size, num_frames, 3, height, width)`, `input_ids` and `attention_mask`
        of shape `(batch_size, sequence_length)`, and of shape `(batch_size,)` what a loss may want to know of each
        clip: `caption_id`, `video_id`, `level`, `start_time`, `end_time` (s). With `replacements` also
        `asked_caption_id`, which differs from `caption_id` where a row was replaced.

        Raises:
            FileNotFoundError, VideoDecodeError: as [`Clip.frames`]; with `replacements` after ten vain replacements.
            ValueError: rows lack a column.
        """
        if missing := [name for name in _COLUMNS if name not in rows[0]]:
            raise ValueError(
                f"ClipCollator needs the columns {', '.join(_COLUMNS)}; {', '.join(missing)} not found among "
                f"{', '.join(rows[0])}; keep them when columns are chosen"
            )
        asked = [row["caption_id"] for row in rows]
        rows, videos = zip(*map(self._read, rows), strict=True)
        captions = [row["caption"] for row in rows]
        inputs = self.processor(videos=list(videos), text=captions, do_sample_frames=False, return_tensors="pt")
        batch = dict(inputs)
        for name in ("caption_id", "video_id", "level"):
            batch[name] = torch.tensor([row[name] for row in rows])
        for name in ("start_time", "end_time"):
            batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float64)
        if self.replacements is not None:
            batch["asked_caption_id"] = torch.tensor(asked)
        return batch
