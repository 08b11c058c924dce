# SPDX-License-Identifier: Apache-2.0
"""Pixels on disk: where videos lie and how their frames are decoded. Knows nothing of captions."""

from .decode import VideoDecodeError, decode_frames
from .library import VideoLibrary

__all__ = ["VideoDecodeError", "VideoLibrary", "decode_frames"]
