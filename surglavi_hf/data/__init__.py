# SPDX-License-Identifier: Apache-2.0
"""SQLite to Arrow to batch. Importing it registers "surglavi" with datasets."""

from importlib import import_module

import datasets

from ..media import VideoDecodeError
from ..media.identity import find_youtube_id, video_identity
from .caption_options import CaptionOptions, SplitOptions
from .clip_feature import VideoClip
from .clips import Clip, sample_timestamps
from .corpus_info import CorpusInfo, read_corpus_info
from .database import DATABASE_NAME, Level
from .splits import split_position, video_identities

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
}
__all__ = [
    "DATABASE_NAME",
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
