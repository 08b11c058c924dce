# SPDX-License-Identifier: Apache-2.0
"""The frames of a video, from image files or straight from the video."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from ..media import VideoDecodeError, decode_frames, installed_backends

# Those that data sets are shipped in. Pillow knows others by their bytes, whatever the name, and starts programs for
# some: Ghostscript for EPS.
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP")


class FrameSource(ABC):
    """
    Frames of one video by position, 0 being the first that is listed.

    Args:
        reading: How pixels are read, for a report.
    """

    reading: str = "by a class of the caller's"

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, positions: Sequence[int]) -> torch.Tensor:
        """
        Returns `torch.uint8` frames of shape `(len(positions), 3, height, width)`, RGB.

        Raises:
            FileNotFoundError: a file is not there.
            ValueError: a file is no picture, or one that is not shown alike everywhere; or pictures differ in size.
            VideoDecodeError: the video cannot be decoded.
        """

    @abstractmethod
    def files(self) -> list[Path]:
        """The files read."""


@dataclass(frozen=True)
class ImageFrames(FrameSource):
    """
    PNG, JPEG or WebP, as they are displayed: turned as their EXIF says, grey ones in three equal channels, and of 16
    bits the upper 8. Colour profiles are not applied.

    Args:
        folder: Where the files are.
        names: File names below it, in order of time.
    """

    folder: Path
    names: tuple[str, ...]
    reading: ClassVar[str] = "by Pillow, RGB of 8 bits, turned as EXIF says"

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

    @property
    def reading(self) -> str:
        return f"by {', else '.join(installed_backends())}"

    def files(self) -> list[Path]:
        return [self.path]


def _read_image(path: Path) -> np.ndarray:
    """Returns a picture, `np.uint8` of shape `(height, width, 3)`, RGB."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=PICTURE_FORMATS)
        with image:
            return _rgb(image)
    except FileNotFoundError:
        raise FileNotFoundError(f"frame {path} is not there; extract the frames of this video again") from None
    except UnidentifiedImageError:
        raise ValueError(
            f"frame {path} is no PNG, JPEG or WebP, or is cut off; extract it again as one of them"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(
            f"frame {path} has over {Image.MAX_IMAGE_PIXELS:,} pixels, more than any camera; extract it again"
        ) from None
    except _Refused as error:
        raise ValueError(f"frame {path} {error}") from None
    except Exception as error:  # Pillow's are of many kinds for what is cut off or damaged
        raise ValueError(f"frame {path} cannot be read ({error}); extract it again") from error


class _Refused(ValueError):
    """A picture that programs show each in its own way."""


def _rgb(image: Image.Image) -> np.ndarray:
    if getattr(image, "n_frames", 1) > 1:
        raise _Refused(f"has {image.n_frames} pictures, expected one; extract it again")
    transparent = image.has_transparency_data
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") and not transparent:  # 16 bits, which convert() would cut off at 255
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode.startswith("I") or image.mode == "CMYK":
        raise _Refused(f"is of Pillow's mode {image.mode}{' with transparency' * transparent}, expected RGB or grey")
    if transparent:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            raise _Refused("has transparent pixels, whose colour is not defined; extract it again without alpha")
    return np.asarray(image.convert("RGB"))


__all__ = ["PICTURE_FORMATS", "FrameSource", "ImageFrames", "VideoDecodeError", "VideoFrames"]
