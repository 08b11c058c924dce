# SPDX-License-Identifier: Apache-2.0
"""Frames of a video by torchcodec."""

import numpy as np
import torch
from torchcodec.decoders import VideoDecoder

from .container import decoding_threads, read_header
from .errors import VideoDecodeError, check_end
from .frame_arrays import Orientation, first_orientation
from .timetable import read_timetable

# Which of them are quarter turns to the left, and how many.
TURNS = {Orientation(False, False, False): 0, Orientation(True, True, False): 1}
TURNS |= {Orientation(False, True, True): 2, Orientation(True, False, True): 3}


class TorchcodecDecoder:
    """As [`PyAVDecoder`], refusing files of which torchcodec gives other pictures."""

    def __init__(self, path: str):
        self.path = path
        self._header = read_header(path)
        if self._header.bits > 8:
            raise VideoDecodeError(
                f"video {path}: torchcodec shows {self._header.bits}-bit colours otherwise than PyAV"
            )
        if self._header.container in ("mpeg", "mpegts"):
            raise VideoDecodeError(f"video {path} is an MPEG stream, in which torchcodec seeks to another frame")
        if self._header.container == "avi":
            raise VideoDecodeError(f"video {path} is an AVI, which says when frames are decoded, not when shown")
        table = read_timetable(path)
        if table.breaks or table.refreshed:
            raise VideoDecodeError(
                f"video {path} has key frames whose pictures come together later, where torchcodec shows half of them"
            )
        if not table.shown.all():
            raise VideoDecodeError(f"video {path} is cut between key frames, where torchcodec begins at the next")
        self._decoder = VideoDecoder(path, num_ffmpeg_threads=decoding_threads())
        shown = first_orientation(path)
        if shown.is_mirrored or TURNS[shown] != round((self._decoder.metadata.rotation or 0) / 90) % 4:
            raise VideoDecodeError(f"video {path} is mirrored, or turned by its stream, which torchcodec leaves out")

    def close(self) -> None:
        del self._decoder

    def decode(self, times: np.ndarray) -> torch.Tensor:
        """As [`PyAVDecoder.decode`]."""
        metadata = self._decoder.metadata
        start, end = metadata.begin_stream_seconds, metadata.end_stream_seconds
        check_end(self.path, times.max(), end - self._header.start)
        # Counted in ticks: torchcodec rounds to the nearest, which may start after the asked time.
        played = [max(self._header.clock(time), start) for time in times]
        last = len(self._decoder) - 1
        if max(played) < end:
            return self._decoder.get_frames_played_at(played).data
        inside = [time for time in played if time < end]
        frames = dict(zip(inside, self._decoder.get_frames_played_at(inside).data, strict=True)) if inside else {}
        return torch.stack([frames[time] if time < end else self._decoder.get_frame_at(last).data for time in played])
