# SPDX-License-Identifier: Apache-2.0
"""Pixels on disk: downloading videos, storing their frames, decoding them. Knows nothing of captions."""

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import PastEndError, VideoDecodeError
from .library import VideoLibrary, is_file_name
from .manifest import Attempt, Manifest
from .reasons import FAILURES
from .sources import VideoSource, read_ids, select_sources, shard

if TYPE_CHECKING:  # whose names tools see
    from .adopt import Adoption as Adoption
    from .adopt import adopt_videos as adopt_videos
    from .build_frames import FrameStoreBuild as FrameStoreBuild
    from .build_frames import build_frame_stores as build_frame_stores
    from .container import read_header as read_header
    from .decode import backend_problems as backend_problems
    from .decode import decode_frames as decode_frames
    from .decode import installed_backends as installed_backends
    from .download import YOUTUBE_PACE_S as YOUTUBE_PACE_S
    from .download import DownloadPlan as DownloadPlan
    from .download import DownloadSummary as DownloadSummary
    from .download import download_videos as download_videos
    from .download import plan_downloads as plan_downloads
    from .download_options import DownloadOptions as DownloadOptions
    from .frame_store import FrameStoreOptions as FrameStoreOptions
    from .frames import read_frames as read_frames
    from .identity import VIDEO_SUFFIXES as VIDEO_SUFFIXES
    from .inventory import Comparison as Comparison
    from .inventory import VideoRecord as VideoRecord
    from .inventory import compare_inventories as compare_inventories
    from .inventory import read_inventory as read_inventory
    from .inventory import take_inventory as take_inventory
    from .inventory import write_inventory as write_inventory
    from .playable import browser_problem as browser_problem
    from .playable import write_playable_copy as write_playable_copy

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
    "browser_problem": "playable",
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
    "write_playable_copy": "playable",
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
