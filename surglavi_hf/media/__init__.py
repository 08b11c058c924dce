# SPDX-License-Identifier: Apache-2.0
"""Pixels on disk: storing frames of videos, decoding them. Knows nothing of captions."""

from .build_frames import FrameStoreBuild, build_frame_stores
from .decode import decode_frames, installed_backends
from .errors import PastEndError, VideoDecodeError
from .frame_store import FrameStoreOptions
from .frames import read_frames
from .library import VideoLibrary, is_file_name

__all__ = [
    "FrameStoreBuild",
    "FrameStoreOptions",
    "PastEndError",
    "VideoDecodeError",
    "VideoLibrary",
    "build_frame_stores",
    "decode_frames",
    "installed_backends",
    "is_file_name",
    "read_frames",
]
