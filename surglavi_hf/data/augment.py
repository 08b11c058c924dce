# SPDX-License-Identifier: Apache-2.0
"""Random crops and mirror images of whole clips."""

import math
from dataclasses import dataclass

import torch

_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10


@dataclass(frozen=True)
class RandomCropAndFlip:
    """
    One random crop and one random mirror image for all frames of a clip. Source: `RandomResizedCrop` of torchvision,
    whose ranges and tries it has; to resize is left to the processor.

    Args:
        min_area: Least share of the picture that is kept, 1 for all of it.
        flip: Probability of the mirror image.
    """

    min_area: float = 0.5
    flip: float = 0.0

    def __call__(self, frames: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """
        Returns frames of shape `(num_frames, 3, new_height, new_width)`, from `(num_frames, 3, height, width)`.
        """
        if self.min_area < 1:
            top, left, height, width = self._box(*frames.shape[-2:], generator)
            frames = frames[..., top : top + height, left : left + width]
        if torch.rand((), generator=generator) < self.flip:
            frames = frames.flip(-1)
        return frames

    def _box(self, height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
        for _ in range(_TRIES):
            share, shape, down, right = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
            area = height * width * (self.min_area + (1 - self.min_area) * share)
            low, high = map(math.log, _RATIOS)
            ratio = math.exp(low + (high - low) * shape)
            new_width, new_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < new_width <= width and 0 < new_height <= height:
                return (
                    *(int(down * (height - new_height + 1)), int(right * (width - new_width + 1))),
                    *(new_height, new_width),
                )
        # No such box fits: the largest in the middle whose ratio is allowed.
        new_width = min(width, round(height * _RATIOS[1]))
        new_height = min(height, round(width / _RATIOS[0]))
        return (height - new_height) // 2, (width - new_width) // 2, new_height, new_width
