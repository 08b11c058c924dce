# SPDX-License-Identifier: Apache-2.0
"""Decoded frames as arrays."""

from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

from .container import open_video
from .errors import GET_ANOTHER, VideoDecodeError


class Orientation(NamedTuple):
    """
    How a stored picture is shown: one of eight ways.

    Args:
        is_transposed: Its rows are shown as columns; first of all.
        is_upside_down: What are rows then are shown in the reverse order.
        is_reversed: What are columns then are.
    """

    is_transposed: bool
    is_upside_down: bool
    is_reversed: bool

    @property
    def is_mirrored(self) -> bool:
        """Whether left and right are swapped, however the picture is turned."""
        return sum(self) % 2 == 1


UPRIGHT = Orientation(False, False, False)


def orientation(frame: av.VideoFrame) -> Orientation:
    """
    Returns how a frame is shown, by the display matrix of the file or of the frame: the nearest of the eight ways.

    Raises:
        ValueError: PyAV does not know all that comes with the frame, and so not the matrix.
    """
    try:
        # Not `frame.side_data`: it and its frame keep each other alive until garbage is collected.
        side_data = SideDataContainer(frame).get(Type.DISPLAYMATRIX)
    except ValueError as error:  # EXIF in JPEG, for example
        raise ValueError(
            f"PyAV {av.__version__} cannot tell how its frames are turned or mirrored: they come with data unknown to "
            f"it ({error}); convert it with ffmpeg"
        ) from error
    if side_data is None:
        return UPRIGHT
    # A point (x, y) is shown at (a x + c y, b x + d y).
    (a, b, _), (c, d, _), _ = np.frombuffer(side_data, np.int32)[:9].reshape(3, 3).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, b < 0, c < 0)
    return Orientation(False, d < 0, a < 0)


def first_orientation(path: str) -> Orientation:
    """Returns how the first frame of a video is shown. Raises VideoDecodeError where none can be decoded."""
    container, stream, _ = open_video(path)
    with container:
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    return orientation(frame)
            except av.error.FFmpegError:  # a damaged frame
                continue
    raise VideoDecodeError(f"video {path} has no frame that can be decoded; {GET_ANOTHER}")


def to_rgb(frame: av.VideoFrame, width: int | None = None, height: int | None = None) -> np.ndarray:
    """Returns the picture upright, `uint8` of shape `(height, width, 3)`; the size is that before it is turned."""
    # Threads of a frame that is freed after a fork, in the child, are waited for without end.
    image = frame.to_ndarray(format="rgb24", width=width, height=height, threads=1)
    return turned(image, orientation(frame))


def turned(image: np.ndarray, way: Orientation) -> np.ndarray:
    """Returns a stored picture, or a plane of it, of shape `(height, width, ...)`, as it is shown."""
    if way.is_transposed:
        image = image.swapaxes(0, 1)
    return image[:: -1 if way.is_upside_down else 1, :: -1 if way.is_reversed else 1]


def resized(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Streams may change their size on the way."""
    if image.shape == shape:
        return image
    height, width = shape[:2]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return frame.to_ndarray(width=width, height=height, threads=1)
