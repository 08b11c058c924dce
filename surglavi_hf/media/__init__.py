# SPDX-License-Identifier: Apache-2.0
"""Pixels on disk: where videos lie and how their frames are decoded. Knows nothing of captions."""

from .decode import decode_frames
from .errors import PastEndError, VideoDecodeError
from .library import VideoLibrary, is_file_name

__all__ = ["PastEndError", "VideoDecodeError", "VideoLibrary", "decode_frames", "is_file_name"]
