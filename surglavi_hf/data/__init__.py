# SPDX-License-Identifier: Apache-2.0
"""SQLite to Arrow to batch. Importing it registers "surglavi" with datasets."""

from ..media import VideoDecodeError
from .clips import Clip, VideoClip, sample_timestamps
from .database import DATABASE_NAME, Level
from .registration import register
from .splits import split_position

__all__ = [
    "DATABASE_NAME",
    "Clip",
    "ClipCollator",
    "Level",
    "VideoClip",
    "VideoDecodeError",
    "sample_timestamps",
    "split_position",
]

register()


def __getattr__(name: str):
    if name == "ClipCollator":  # the only part that needs torch at import
        from .collate import ClipCollator

        return ClipCollator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
