# SPDX-License-Identifier: Apache-2.0
"""Frames of a video by decord."""

import decord
import numpy as np
import torch

from .container import read_header
from .errors import VideoDecodeError, check_end
from .frame_arrays import UPRIGHT, first_orientation
from .timetable import read_timetable

decord.logging.set_level(decord.logging.QUIET)
TIME_TOLERANCE_S = 0.005  # its float32 of some hours have gaps of 1 ms


class DecordDecoder:
    """As [`PyAVDecoder`], refusing files of which decord gives other pictures, or those of other times."""

    def __init__(self, path: str):
        self.path = path
        header = read_header(path)
        if header.bits > 8:
            raise VideoDecodeError(f"video {path}: decord shows {header.bits}-bit colours otherwise than PyAV")
        if header.codec == "hevc" or header.container in ("mpeg", "mpegts", "avi"):
            raise VideoDecodeError(f"video {path} is {header.codec} in {header.container}, where decord misses frames")
        if first_orientation(path) != UPRIGHT:
            raise VideoDecodeError(f"video {path} is shown turned or mirrored, which decord leaves out of some files")
        table = read_timetable(path)
        if table.breaks or table.leading or table.refreshed or not table.shown.all():
            raise VideoDecodeError(
                f"video {path} has frames that need others than those after the last key frame, where decord is off "
                "by some frames"
            )
        self._reader = decord.VideoReader(path, num_threads=1)  # decord's own threads do not survive a fork
        starts, ends = self._reader.get_frame_timestamp(np.arange(len(self._reader))).T  # float32, each (num_frames,)
        if starts[0] < 0:
            raise VideoDecodeError(f"video {path} starts within its stream, where decord is off by some frames")
        # decord counts from the start of the picture.
        self._starts, self._end = starts + starts.dtype.type(header.picture_start), float(max(ends[-1], starts[-1]))
        self._end += header.picture_start
        expected = table.starts() * float(header.time_base) - float(header.start)
        if len(starts) != len(expected) or np.abs(self._starts - expected).max() > TIME_TOLERANCE_S:
            raise VideoDecodeError(
                f"video {path} has {len(expected)} frames, of which decord knows {len(starts)}, or at other times"
            )

    def close(self) -> None:
        del self._reader

    def decode(self, times: np.ndarray) -> torch.Tensor:
        """As [`PyAVDecoder.decode`]."""
        check_end(self.path, times.max(), self._end)
        # Rounding `times` as decord rounded the starts keeps a frame that starts exactly at an asked time.
        indices = np.searchsorted(self._starts, times.astype(self._starts.dtype), side="right") - 1
        frames = self._reader.get_batch(np.maximum(indices, 0)).asnumpy()  # (T, H, W, 3)
        return torch.from_numpy(frames).permute(0, 3, 1, 2)  # channels-last in memory, as decoded: no copy
