# SPDX-License-Identifier: Apache-2.0
"""Decoded frames as arrays."""

import av
import numpy as np


def to_rgb(frame: av.VideoFrame, width: int | None = None, height: int | None = None) -> np.ndarray:
    """Returns the picture upright, `uint8` of shape `(height, width, 3)`; the size is that before it is turned."""
    image = frame.to_ndarray(format="rgb24", width=width, height=height)
    turns = round(frame.rotation / 90) % 4
    return np.rot90(image, turns) if turns else image


def resized(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Streams may change their size on the way."""
    if image.shape == shape:
        return image
    height, width = shape[:2]
    return av.VideoFrame.from_ndarray(image, format="rgb24").to_ndarray(width=width, height=height)
