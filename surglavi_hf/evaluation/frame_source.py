# SPDX-License-Identifier: Apache-2.0
"""The frames of a video, from image files or straight from the video."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..media import VideoDecodeError, decode_frames


class FrameSource(ABC):
    """Frames of one video by position, 0 being the first that is listed."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, positions: Sequence[int]) -> torch.Tensor:
        """
        Returns `torch.uint8` frames of shape `(len(positions), 3, height, width)`, RGB.

        Raises:
            FileNotFoundError: a file is not there.
            ValueError: a file is no picture, or pictures differ in size.
            VideoDecodeError: the video cannot be decoded.
        """

    @abstractmethod
    def files(self) -> list[Path]:
        """The files read."""


@dataclass(frozen=True)
class ImageFrames(FrameSource):
    """
    Args:
        folder: Where the files are.
        names: File names below it, in order of time.
    """

    folder: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, positions: Sequence[int]) -> torch.Tensor:
        frames = [_read_image(self.folder / self.names[position]) for position in positions]
        sizes = {tuple(frame.shape) for frame in frames}
        if len(sizes) > 1:
            found = " and ".join(f"{width}×{height}" for height, width, _ in sorted(sizes)[:2])
            raise ValueError(f"frames of {self.folder} are {found} pixels, expected one size; extract them again")
        return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)

    def files(self) -> list[Path]:
        return [self.folder / name for name in self.names]


@dataclass(frozen=True)
class VideoFrames(FrameSource):
    """
    Args:
        path: Of the video.
        times: Of each position, in seconds from its start.
    """

    path: Path
    times: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.times)

    def read(self, positions: Sequence[int]) -> torch.Tensor:
        return decode_frames(self.path, [self.times[position] for position in positions])

    def files(self) -> list[Path]:
        return [self.path]


def _read_image(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise FileNotFoundError(f"frame {path} is not there; extract the frames of this video again") from None
    except (OSError, SyntaxError, ValueError) as error:  # PIL's for what is no picture, or cut off
        raise ValueError(f"frame {path} cannot be read ({error}); extract it again") from error


__all__ = ["FrameSource", "ImageFrames", "VideoDecodeError", "VideoFrames"]
