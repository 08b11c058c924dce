# SPDX-License-Identifier: Apache-2.0
"""Windows that slide over the frames of a video, each of which is read and preprocessed once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..interrupts import interrupts_for_us_alone
from ..surgclip import centered_window, online_window
from .encoders import VideoEncoder
from .frame_source import FrameSource

_FRAMES_A_READ = 32


@dataclass(frozen=True)
class Windows:
    """
    Which frames are shown of the stream around a labelled one.

    Args:
        placement: "centered": `num_frames // 2` frames before it and the rest from it on, as in SurgCLIP's official
            evaluation; "online": those that end with it.
        num_frames: Of a window; by default as many as the model was trained with, 16 for models of images.
        stride: From one frame of a window to the next, in listed frames.

    Raises:
        ValueError: `placement` is neither, or a number is not positive.
    """

    placement: Literal["centered", "online"] = "centered"
    num_frames: int | None = None
    stride: int = 1

    def __post_init__(self):
        if self.placement not in ("centered", "online"):
            raise ValueError(f"placement={self.placement!r}, expected 'centered' or 'online'")
        for name in ("num_frames", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}, expected a whole number >= 1")

    def around(self, positions: Sequence[int], length: int, num_frames: int) -> np.ndarray:
        """
        Returns the frames of the window around each position, of shape `(len(positions), num_frames)`. Where the video
        ends, its first or last frame is repeated.

        Args:
            positions: Frames, from 0.
            length: Frames of the video.
            num_frames: Taken where these windows leave it open.
        """
        num_frames = self.num_frames or num_frames
        if self.placement == "centered":
            windows = [centered_window(position, length, num_frames, self.stride) for position in positions]
        else:
            windows = [online_window(position, num_frames, self.stride) for position in positions]
        return np.array(windows, np.int64).reshape(-1, num_frames)

    def protocol(self, num_frames: int) -> dict[str, str | int]:
        """Returns these choices by name, for a report."""
        return {
            "window": self.placement,
            "window_num_frames": self.num_frames or num_frames,
            "window_stride": self.stride,
            "window_frames": "neighbours among the listed ones, whatever time lies between them",
            "window_ends": "first or last frame repeated",
        }


def embed_windows(
    encoder: VideoEncoder, frames: FrameSource, windows: np.ndarray, batch_size: int = 32, num_workers: int = 0
) -> Iterator[dict[str, torch.Tensor]]:
    """
    Yields the embeddings of windows, a batch at a time, as [`VideoEncoder.embed_windows`]. Every frame is read and
    preprocessed once; those that no later window needs are let go.

    Args:
        encoder: Must be in evaluation mode.
        frames: Of one video.
        windows: Positions of frames, of shape `(num_windows, num_frames)`, in order of time.
        batch_size: Windows a forward pass.
        num_workers: Processes that read frames.

    Raises:
        FileNotFoundError, ValueError, VideoDecodeError: as [`FrameSource.read`].
    """
    needed, places = np.unique(windows, return_inverse=True)
    places = torch.from_numpy(places.reshape(windows.shape))  # into `needed`
    reader = _Reader(encoder, frames, needed)
    with interrupts_for_us_alone():
        loader = iter(DataLoader(reader, _FRAMES_A_READ, collate_fn=_as_it_is, num_workers=num_workers))
    held, first = torch.empty(0), 0  # frames of `needed` from the first on
    for start in range(0, len(places), batch_size):
        batch = places[start : start + batch_size]
        lowest, highest = batch.min().item(), batch.max().item()
        parts = [held[lowest - first :]]
        count = len(parts[0])
        while lowest + count <= highest:
            parts.append(encoder.encode_frames(next(loader)))
            count += len(parts[-1])
        held, first = torch.cat(parts) if len(held) else torch.cat(parts[1:]), lowest
        yield encoder.embed_windows(held, batch - first)


class _Reader(Dataset):
    """Preprocessed frames, several at a time, as a video is best read."""

    def __init__(self, encoder: VideoEncoder, frames: FrameSource, positions: np.ndarray):
        self.encoder, self.frames, self.positions = encoder, frames, positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitems__(self, places: list[int]) -> torch.Tensor:
        return self.encoder.preprocess(self.frames.read(self.positions[places].tolist()))


def _as_it_is(frames: torch.Tensor) -> torch.Tensor:
    return frames
