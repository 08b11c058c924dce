# SPDX-License-Identifier: Apache-2.0
"""Rows to a batch."""

from typing import Any

import numpy as np
import torch

from .clips import Sampling


class ClipCollator:
    """
    Reads the frames of each row's clip and makes the model's inputs.

    Args:
        processor: A SurgCLIPProcessor, or anything called alike.
        num_frames: Frames a clip; by default what the processor says.
        sampling: How they are sampled, as in [`Clip.frames`].
        seed: Of the random sampling. A clip's frames depend on it, on the epoch and on the caption id alone, not on
            the batch, the worker or the process that reads it.
    """

    def __init__(self, processor: Any, num_frames: int | None = None, sampling: Sampling = "middle", seed: int = 0):
        self.processor = processor
        self.num_frames = num_frames or processor.video_processor.num_frames
        self.sampling = sampling
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch random sampling depends on; call it before iterating over a DataLoader."""
        self.epoch = epoch

    def _generator(self, caption_id: int) -> torch.Generator:
        state = np.random.SeedSequence([self.seed, self.epoch, caption_id]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(state[0] >> 1))

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """
        Returns `pixel_values` of shape `(batch_size, num_frames, 3, height, width)`, `input_ids` and `attention_mask`
        of shape `(batch_size, sequence_length)`, and of shape `(batch_size,)` what a loss may want to know of each
        clip: `caption_id`, `video_id`, `level`, `start_time`, `end_time` (s).

        Raises:
            FileNotFoundError, VideoDecodeError: as [`Clip.frames`].
        """
        videos = [
            row["clip"].frames(self.num_frames, self.sampling, self._generator(row["caption_id"])) for row in rows
        ]
        batch = dict(self.processor(videos=videos, text=[row["caption"] for row in rows], return_tensors="pt"))
        for name in ("caption_id", "video_id", "level"):
            batch[name] = torch.tensor([row[name] for row in rows])
        for name in ("start_time", "end_time"):
            batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float32)
        return batch
