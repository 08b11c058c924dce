# SPDX-License-Identifier: Apache-2.0
"""SQLite to Arrow to batch. Importing it registers "surglavi" with datasets."""

from importlib import import_module
from typing import TYPE_CHECKING

import datasets

from ..media import VideoDecodeError
from ..media.identity import find_youtube_id, video_identity
from .caption_options import CaptionOptions, SplitOptions
from .clip_feature import VideoClip
from .clips import Clip, sample_timestamps
from .corpus_info import CorpusInfo, read_corpus_info
from .database import DATABASE_NAME, LEVEL_NAMES, Level
from .splits import split_position, video_identities

if TYPE_CHECKING:  # whose names tools see
    from .acquire import DatabaseVideos as DatabaseVideos
    from .acquire import estimate_download as estimate_download
    from .acquire import read_database_videos as read_database_videos
    from .attach import attach_clips as attach_clips
    from .augment import RandomCropAndFlip as RandomCropAndFlip
    from .builder import CONFIGS as CONFIGS
    from .check import DatabaseCheck as DatabaseCheck
    from .check import check_database as check_database
    from .collate import ClipCollator as ClipCollator
    from .display import show_check as show_check
    from .display import show_tree as show_tree
    from .display_videos import show_adoption as show_adoption
    from .display_videos import show_comparison as show_comparison
    from .display_videos import show_download as show_download
    from .display_videos import show_estimate as show_estimate
    from .display_videos import show_frames as show_frames
    from .display_videos import show_inventory as show_inventory
    from .embeddings import Embeddings as Embeddings
    from .locate import find_database as find_database
    from .takedown import TAKEDOWN_NAME as TAKEDOWN_NAME
    from .takedown import Takedown as Takedown
    from .takedown import add_to_takedown as add_to_takedown
    from .tree import CaptionNode as CaptionNode
    from .tree import caption_trees as caption_trees

# Imported when asked for: what needs torch or rich, or only a command uses.
_PARTS = {
    "CONFIGS": "builder",
    "attach_clips": "attach",
    "ClipCollator": "collate",
    "RandomCropAndFlip": "augment",
    "DatabaseCheck": "check",
    "check_database": "check",
    "CaptionNode": "tree",
    "caption_trees": "tree",
    "DatabaseVideos": "acquire",
    "Embeddings": "embeddings",
    "estimate_download": "acquire",
    "find_database": "locate",
    "read_database_videos": "acquire",
    "show_adoption": "display_videos",
    "show_comparison": "display_videos",
    "show_download": "display_videos",
    "show_estimate": "display_videos",
    "show_frames": "display_videos",
    "show_inventory": "display_videos",
    "show_check": "display",
    "show_tree": "display",
    "TAKEDOWN_NAME": "takedown",
    "Takedown": "takedown",
    "add_to_takedown": "takedown",
}
__all__ = [
    "DATABASE_NAME",
    "LEVEL_NAMES",
    "CaptionOptions",
    "Clip",
    "CorpusInfo",
    "Level",
    "SplitOptions",
    "VideoClip",
    "VideoDecodeError",
    "find_youtube_id",
    "read_corpus_info",
    "sample_timestamps",
    "split_position",
    "video_identities",
    "video_identity",
    *_PARTS,
]

if int(datasets.__version__.split(".")[0]) >= 4:  # before, loading_script/surglavi.py takes its place
    from .clip_columns import hook
    from .registration import register

    hook()
    register()


def __getattr__(name: str):
    if name not in _PARTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PARTS[name]}", __name__), name)
