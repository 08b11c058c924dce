# SPDX-License-Identifier: Apache-2.0
"""Frames at timestamps: decord where it is installed and can open the file, PyAV otherwise."""

import logging
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import numpy as np
import torch

logger = logging.getLogger(__name__)

END_TOLERANCE_S = 1.0  # containers and databases round durations; further past the end is a mistake
LAST_SEEK_S = 1e9  # no video is longer, and FFmpeg counts in 64 bits
SEEK_AHEAD_S = 5.0  # within this distance decoding on costs less than a seek to the previous key frame


class VideoDecodeError(RuntimeError):
    """A video file that cannot be read, or not at the asked time. The message names the file."""


class PastEndError(VideoDecodeError):
    """A frame was asked for after the end of a video, which is `end` seconds from its start."""

    def __init__(self, message: str, end: float):
        super().__init__(message)
        self.end = end

    def __reduce__(self) -> tuple:  # it crosses from a DataLoader's worker
        return type(self), (str(self), self.end)


def decode_frames(path: str | os.PathLike, timestamps: Sequence[float]) -> torch.Tensor:
    """
    Returns the frames on screen at `timestamps`: for each the last frame that starts at or before it.

    Args:
        path: A video file.
        timestamps: Seconds from the start of the video, in any order, repeats allowed. Before the first frame counts
            as the first; up to 1 s past the end counts as the last.

    Returns:
        `torch.uint8` tensor of shape `(len(timestamps), 3, height, width)`, RGB.

    Raises:
        FileNotFoundError: `path` is not a file.
        ValueError: `timestamps` is empty, or one is negative or not finite.
        PastEndError: a timestamp is further past the end.
        VideoDecodeError: no decoder can read the file.
    """
    path = os.fspath(path)
    times = np.asarray(timestamps, dtype=np.float64)
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all() or times.min() < 0:
        raise ValueError(
            f"timestamps {list(timestamps)!r} for {path}: expected one or more finite numbers of seconds >= 0"
        )
    if not os.path.isfile(path):
        raise FileNotFoundError(f"video {path} is not there; download it to this path")
    if find_spec("decord") is not None:
        try:
            return _decode_decord(path, times)
        except VideoDecodeError:
            raise
        except Exception as error:  # decord raises its own RuntimeErrors, with C++ traces in them
            logger.info("decord cannot read %s (%s), trying PyAV", path, _first_line(error))
    try:
        return _decode_pyav(path, times)
    except VideoDecodeError:
        raise
    except Exception as error:  # PyAV raises FFmpeg's errors, and IndexError where a file has no video stream
        raise VideoDecodeError(
            f"video {path} cannot be decoded ({_first_line(error)}); delete it and download it again"
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _check_end(path: str, times: np.ndarray, end: float) -> None:
    if times.max() > end + END_TOLERANCE_S:
        raise PastEndError(
            f"video {path} ends at {end:.3f} s, but its frame at {times.max():.3f} s was asked for; "
            "correct the interval, or download the video again if it was cut short",
            end,
        )


def _decode_decord(path: str, times: np.ndarray) -> torch.Tensor:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    reader = decord.VideoReader(path, num_threads=1)  # decord's own threads do not survive a fork
    starts, ends = reader.get_frame_timestamp(np.arange(len(reader))).T  # float32, each (num_frames,)
    _check_end(path, times, float(max(ends[-1], starts[-1])))
    # Rounding `times` as decord rounded the starts keeps a frame that starts exactly at an asked time.
    indices = np.searchsorted(starts, times.astype(starts.dtype), side="right") - 1
    frames = reader.get_batch(np.maximum(indices, 0)).asnumpy()  # (T, H, W, 3)
    return torch.from_numpy(frames).permute(0, 3, 1, 2)  # channels-last in memory, as decoded: no copy


def _decode_pyav(path: str, times: np.ndarray) -> torch.Tensor:
    import av

    frames: dict[int, torch.Tensor] = {}
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        decoded = container.decode(stream)
        current, following = next(decoded), None
        for index in np.argsort(times, kind="stable"):
            time = times[index]
            if time > current.time + SEEK_AHEAD_S:
                decoded = _decode_from(container, stream, time)
                current, following = next(decoded), None
            while following is None or following.time <= time:
                if following is not None:
                    current = following
                following = next(decoded, None)
                if following is None:
                    _check_end(path, times[[index]], current.time + float((current.duration or 0) * current.time_base))
                    break
            frames[int(index)] = torch.from_numpy(current.to_ndarray(format="rgb24"))
    return torch.stack([frames[index] for index in range(len(times))]).permute(0, 3, 1, 2)


def _decode_from(container, stream, time: float) -> Iterator:
    """Decodes from the last key frame at or before `time`, further back where the container's index misleads."""
    for margin in (0.0, 10.0, time):
        container.seek(max(0, int(min(time - margin, LAST_SEEK_S) / stream.time_base)), stream=stream)
        decoded = container.decode(stream)
        first = next(decoded, None)
        if first is not None and (first.time <= time or margin == time):
            break
    if first is not None:
        yield first
    yield from decoded
