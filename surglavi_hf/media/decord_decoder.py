# SPDX-License-Identifier: Apache-2.0
"""Frames of a video by decord."""

import decord
import numpy as np
import torch

from .container import read_header
from .errors import VideoDecodeError, check_end

decord.logging.set_level(decord.logging.QUIET)


class DecordDecoder:
    """As [`PyAVDecoder`], refusing files of which decord gives other pictures, or those of other times."""

    def __init__(self, path: str):
        self.path = path
        header = read_header(path)
        if header.bits > 8:
            raise VideoDecodeError(f"video {path}: decord shows {header.bits}-bit colours otherwise than PyAV")
        if header.codec == "hevc" or header.container in ("mpeg", "mpegts"):
            raise VideoDecodeError(f"video {path} is {header.codec} in {header.container}, where decord misses frames")
        self._reader = decord.VideoReader(path, num_threads=1)  # decord's own threads do not survive a fork
        starts, ends = self._reader.get_frame_timestamp(np.arange(len(self._reader))).T  # float32, each (num_frames,)
        if starts[0] < 0:
            raise VideoDecodeError(f"video {path} starts within its stream, where decord is off by some frames")
        # decord counts from the start of the picture.
        self._starts, self._end = starts + starts.dtype.type(header.picture_start), float(max(ends[-1], starts[-1]))
        self._end += header.picture_start

    def close(self) -> None:
        del self._reader

    def decode(self, times: np.ndarray) -> torch.Tensor:
        """As [`PyAVDecoder.decode`]."""
        check_end(self.path, times.max(), self._end)
        # Rounding `times` as decord rounded the starts keeps a frame that starts exactly at an asked time.
        indices = np.searchsorted(self._starts, times.astype(self._starts.dtype), side="right") - 1
        frames = self._reader.get_batch(np.maximum(indices, 0)).asnumpy()  # (T, H, W, 3)
        return torch.from_numpy(frames).permute(0, 3, 1, 2)  # channels-last in memory, as decoded: no copy
