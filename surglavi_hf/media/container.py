# SPDX-License-Identifier: Apache-2.0
"""A video file opened, and what it declares."""

import os
import sys
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from .errors import GET_ANOTHER, VideoDecodeError

MAX_THREADS = 8
LAST_TIME_S = 1e9  # no video is longer, and FFmpeg counts in 64 bits


@dataclass(frozen=True)
class Header:
    """
    What a file declares of its best video stream.

    Args:
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of it.
        width, height: In pixels.
        bits: Of a colour of a pixel.
        duration: Of the file in seconds, `None` where it declares none; its frames may end elsewhere.
        start: Of the file on its own clock, in seconds.
        picture_start: Of the video stream, in seconds from the start of the file.
        time_base: Of the video stream: the seconds of a tick.
    """

    container: str
    codec: str
    width: int
    height: int
    bits: int
    duration: float | None
    start: Fraction
    picture_start: float
    time_base: Fraction

    @property
    def summary(self) -> str:
        """Its codec and size in pixels, in a few characters."""
        return f"{self.codec} {self.width}x{self.height}"

    def clock(self, time: float) -> float:
        """Returns, on the file's own clock, the last tick at or before `time` seconds from the start of the file."""
        ticks = round((Fraction(min(time, LAST_TIME_S)) + self.start) / self.time_base)
        if float(ticks * self.time_base - self.start) > time:
            ticks -= 1
        return float(ticks * self.time_base)


def open_video(path: str) -> tuple[InputContainer, VideoStream, Fraction]:
    """
    Opens a video file; returns it, its best video stream and when it starts on its own clock, in seconds.

    Raises:
        VideoDecodeError: it cannot be opened, or has no video stream.
    """
    container = _open(path)
    stream = container.streams.best("video")
    if stream is None:
        container.close()
        raise VideoDecodeError(f"video {path} has no video stream; {GET_ANOTHER}")
    return container, stream, _start(path, container, stream)


def _open(path: str) -> InputContainer:
    try:
        # Named so that no path is taken for an address, nor anything in the file for one.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except av.error.FFmpegError as error:
        raise VideoDecodeError(f"video {path} cannot be opened ({error.strerror}); {GET_ANOTHER}") from error


def _start(path: str, container: InputContainer, stream: VideoStream) -> Fraction:
    if container.start_time is None:  # of a short file in Matroska, for example
        with _open(path) as other:
            starts = (packet.pts for packet in other.demux(other.streams[stream.index]) if packet.pts is not None)
            return (next(starts, 0) or 0) * stream.time_base
    start = Fraction(container.start_time, av.time_base)
    own_start = (stream.start_time or 0) * stream.time_base
    # The container's is rounded.
    return own_start if abs(own_start - start) < Fraction(2, av.time_base) else start


def decoding_threads() -> int:
    """
    Returns how many threads a decoder may use: as many as PyTorch, which is one in the worker of a DataLoader, or as
    there are cores where PyTorch is not imported.
    """
    torch = sys.modules.get("torch")  # which this does not need, and takes seconds and memory to import
    threads = torch.get_num_threads() if torch is not None else os.cpu_count() or 1
    return max(1, min(threads, MAX_THREADS))


def read_header(path: str) -> Header:
    """Returns what a video file declares. Raises as [`open_video`]."""
    container, stream, start = open_video(path)
    with container:
        pixels = stream.codec_context.format
        duration = None
        if container.duration is not None:
            duration = container.duration / av.time_base
        elif stream.duration is not None:
            duration = float(stream.duration * stream.time_base)
        return Header(
            container=container.format.name,
            codec=stream.codec.canonical_name,
            width=stream.width,
            height=stream.height,
            bits=max((component.bits for component in pixels.components), default=8) if pixels else 8,
            duration=duration,
            start=start,
            picture_start=0.0 if stream.start_time is None else float(stream.start_time * stream.time_base - start),
            time_base=stream.time_base,
        )
