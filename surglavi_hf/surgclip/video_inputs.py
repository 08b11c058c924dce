# SPDX-License-Identifier: Apache-2.0
"""What may be called a clip, made into one tensor of frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

_TOLERANCE = 1e-3  # what another library's resizing adds
_MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")  # of 8 bits
_ORIENTATION = 0x0112  # of EXIF; 1 is upright
_REMEDY = 'pass input_data_format="channels_first" or "channels_last"'


def is_clip(videos: Any) -> bool:
    """Whether this is one clip rather than a batch: a tensor or array of five axes, or a list or column of clips."""
    if isinstance(videos, (torch.Tensor, np.ndarray)):
        return videos.ndim != 5
    if not isinstance(videos, Sequence) or isinstance(videos, str) or hasattr(videos, "frames"):
        return True
    return len(videos) > 0 and _is_frame(videos[0])


def split_clips(videos: Any) -> list[Any]:
    """
    Returns the clips of one clip or a batch.

    Raises:
        ValueError: the batch is empty.
    """
    clips = [videos] if is_clip(videos) else list(videos)
    if not clips:
        raise ValueError("videos is an empty list, expected a clip or a list of clips")
    return clips


def middle_indices(length: int, num_frames: int) -> list[int]:
    """
    Returns of each of `num_frames` equal segments of `length` frames the one in the middle, as [`Clip.frames`] does by
    default: a clip of `num_frames` is taken whole, and a shorter one repeats frames.
    """
    return [(2 * index + 1) * length // (2 * num_frames) for index in range(num_frames)]


def read_frames(video: Any, num_frames: int, sample: bool, input_data_format: str | None = None) -> torch.Tensor:
    """
    Returns the frames of a clip, uint8 or float32 in [0, 1], of shape `(num_frames, 3, height, width)`.

    Args:
        video: An object with a `frames(num_frames)` method, a tensor or array of four axes, or a list of frames: PIL
            images, or tensors or arrays of three axes.
        num_frames: How many frames to take.
        sample: Take the centres of `num_frames` equal segments; without it, all frames, but of an object.
        input_data_format: `"channels_first"` or `"channels_last"`; by default wherever there are three.

    Raises:
        ValueError: it is no such clip, or its values are none of a picture. The message says what was found.
    """
    if hasattr(video, "frames"):
        frames = video.frames(num_frames)
        _check(frames)
        if len(frames) != num_frames:
            raise ValueError(f"{_describe(video)} gave {len(frames)} frames, asked for {num_frames}")
        frames = _stack(frames)
    else:
        _check(video)
        if sample:
            chosen = middle_indices(len(video), num_frames)
            video = [video[index] for index in chosen] if isinstance(video, (list, tuple)) else video[chosen]
        frames = _stack(video)
    return _values(_channels_first(frames, input_data_format))


def _is_frame(value: Any) -> bool:
    return _is_pil(value) or (isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim == 3)


def _is_pil(value: Any) -> bool:
    return hasattr(value, "convert") and hasattr(value, "getbands")  # PIL need not be installed


def _describe(value: Any) -> str:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return f"{value!r}" if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"


def _check(video: Any) -> None:
    if isinstance(video, str):
        raise ValueError(f"video is the text {video!r}; pass captions as text=, videos as clips or arrays")
    listed = isinstance(video, (list, tuple)) and all(map(_is_frame, video))
    if not listed and not (isinstance(video, (torch.Tensor, np.ndarray)) and video.ndim == 4):
        raise ValueError(
            f"video is {_describe(video)}, expected a clip: uint8 or float frames of shape (num_frames, 3, height, "
            "width) or (num_frames, height, width, 3), a list of images, or an object with a frames method"
        )
    if not len(video):
        raise ValueError("video has no frames, expected at least one")


def _stack(video: Any) -> torch.Tensor:
    if not isinstance(video, (list, tuple)):
        return _tensor(video)
    frames = [_tensor(_rgb(frame) if _is_pil(frame) else frame) for frame in video]
    shapes = sorted({tuple(frame.shape) for frame in frames})
    if len(shapes) > 1:
        raise ValueError(f"video has frames of shapes {shapes[0]} and {shapes[1]}, expected one")
    return torch.stack(frames)


def _rgb(image: Any) -> np.ndarray:
    """Of a PIL image that shows what it stores: convert() cuts 16 bits off at 255, and turns nothing."""
    if image.mode not in _MODES:
        raise ValueError(f"video has an image of PIL's mode {image.mode}, expected RGB or grey of 8 bits; convert it")
    if image.getexif().get(_ORIENTATION, 1) > 1:
        raise ValueError("video has an image that is stored turned; pass PIL's ImageOps.exif_transpose(image)")
    return np.array(image.convert("RGB"))


def _tensor(value: torch.Tensor | np.ndarray) -> torch.Tensor:
    # torch takes no array that is reversed, as OpenCV's BGR is by [..., ::-1], and warns of one that is read-only.
    return value if isinstance(value, torch.Tensor) else torch.from_numpy(np.require(value, requirements=["C", "W"]))


def _channels_first(frames: torch.Tensor, input_data_format: str | None) -> torch.Tensor:
    axes = {"channels_first": 1, "channels_last": 3}
    if input_data_format not in (None, *axes):
        raise ValueError(f"input_data_format={input_data_format!r}, expected 'channels_first' or 'channels_last'")
    allowed = axes if input_data_format is None else {input_data_format: axes[input_data_format]}
    found = [axis for axis in allowed.values() if frames.shape[axis] == 3]
    if len(found) == 2:
        raise ValueError(f"video of shape {tuple(frames.shape)} may have its channels first or last; {_REMEDY}")
    if not found or not all(frames.shape):
        raise ValueError(
            f"video is {_describe(frames)}, expected shape (num_frames, 3, height, width) or "
            "(num_frames, height, width, 3), RGB"
        )
    return frames if found[0] == 1 else frames.permute(0, 3, 1, 2)


def _values(frames: torch.Tensor) -> torch.Tensor:
    if frames.dtype == torch.uint8:
        return frames
    if not frames.is_floating_point():
        raise ValueError(f"video is {_describe(frames)}, expected uint8, or floating point from 0 to 1")
    frames = frames.float()
    least, most = (value.item() for value in frames.aminmax())
    if not (least >= -_TOLERANCE and most <= 1 + _TOLERANCE):  # nor is NaN
        raise ValueError(
            f"video has values from {least:.4g} to {most:.4g}, expected 0 to 1; pass uint8 frames as they were decoded"
        )
    return frames.clamp(0, 1)


__all__ = ["is_clip", "middle_indices", "read_frames", "split_clips"]
