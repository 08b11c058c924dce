# SPDX-License-Identifier: Apache-2.0
"""Pixels on disk: downloading videos, storing their frames, decoding them. Knows nothing of captions."""

from importlib import import_module

from .decode import decode_frames, installed_backends
from .errors import PastEndError, VideoDecodeError
from .frames import read_frames
from .library import VideoLibrary, is_file_name
from .manifest import Attempt, Manifest
from .sources import VideoSource, read_ids, select_sources, shard

# Imported when asked for: only a command uses them.
_PARTS = {
    "Adoption": "adopt",
    "DownloadOptions": "download_options",
    "DownloadPlan": "download",
    "DownloadSummary": "download",
    "FrameStoreBuild": "build_frames",
    "FrameStoreOptions": "frame_store",
    "adopt_videos": "adopt",
    "build_frame_stores": "build_frames",
    "download_videos": "download",
    "plan_downloads": "download",
}
__all__ = [
    "Attempt",
    "Manifest",
    "PastEndError",
    "VideoDecodeError",
    "VideoLibrary",
    "VideoSource",
    "decode_frames",
    "installed_backends",
    "is_file_name",
    "read_frames",
    "read_ids",
    "select_sources",
    "shard",
    *_PARTS,
]


def __getattr__(name: str):
    if name not in _PARTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PARTS[name]}", __name__), name)
