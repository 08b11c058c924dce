# SPDX-License-Identifier: Apache-2.0
"""Pixels on disk: downloading videos, storing their frames, decoding them. Knows nothing of captions."""

from importlib import import_module

from .errors import PastEndError, VideoDecodeError
from .library import VideoLibrary, is_file_name
from .manifest import Attempt, Manifest
from .reasons import FAILURES
from .sources import VideoSource, read_ids, select_sources, shard

# Imported when asked for: what needs torch, or only a command uses.
_PARTS = {
    "Adoption": "adopt",
    "Comparison": "inventory",
    "DownloadOptions": "download_options",
    "DownloadPlan": "download",
    "DownloadSummary": "download",
    "FrameStoreBuild": "build_frames",
    "FrameStoreOptions": "frame_store",
    "VIDEO_SUFFIXES": "identity",
    "VideoRecord": "inventory",
    "YOUTUBE_PACE_S": "download",
    "adopt_videos": "adopt",
    "backend_problems": "decode",
    "build_frame_stores": "build_frames",
    "compare_inventories": "inventory",
    "decode_frames": "decode",
    "download_videos": "download",
    "installed_backends": "decode",
    "plan_downloads": "download",
    "read_frames": "frames",
    "read_header": "container",
    "read_inventory": "inventory",
    "take_inventory": "inventory",
    "write_inventory": "inventory",
}
__all__ = [
    "FAILURES",
    "Attempt",
    "Manifest",
    "PastEndError",
    "VideoDecodeError",
    "VideoLibrary",
    "VideoSource",
    "is_file_name",
    "read_ids",
    "select_sources",
    "shard",
    *_PARTS,
]


def __getattr__(name: str):
    if name not in _PARTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PARTS[name]}", __name__), name)
