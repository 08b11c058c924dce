# SPDX-License-Identifier: Apache-2.0
"""Frames of the videos of a library: from the frame store where there is one, from the video otherwise."""

import logging
from collections.abc import Sequence
from functools import cache

import torch

from .decode import check_timestamps, decode_frames
from .library import VideoLibrary

logger = logging.getLogger(__name__)


def read_frames(library: VideoLibrary, name: str, timestamps: Sequence[float]) -> torch.Tensor:
    """
    Returns the last frames at or before `timestamps`: of those in the frame store, which are smaller and fewer, where
    there is one made of the video as it is, wherever both were copied; of all frames of the video otherwise.

    Args:
        library: Where the video is.
        name: The video's.
        timestamps: As [`decode_frames`].

    Returns:
        `torch.uint8` tensor of shape `(len(timestamps), 3, height, width)`, RGB.

    Raises:
        FileNotFoundError: neither the video nor its frame store is there.
        ValueError: `name` cannot be a file name, or the timestamps are none.
        PastEndError: a timestamp is over 1 s past the end.
        VideoDecodeError: what is there cannot be decoded, is damaged, or is the frame store of another name.
    """
    video, frames = library.video_path(name), library.frames_path(name)
    if not frames.is_file():
        if not video.is_file():
            raise FileNotFoundError(
                f"video {video} is not there; `surglavi download --data-dir {library.root}` gets it, "
                f"`surglavi adopt FOLDER --data-dir {library.root}` links the copy that you have"
            )
        return decode_frames(video, timestamps)
    from .frame_store import OLD_VERSION, open_frame_store  # heavy, and not needed before

    store = open_frame_store(frames)
    if video.is_file() and not store.made_from(video):
        _warn_once(f"frame store {frames} was made of another video; not using it until `surglavi frames` renews it")
        return decode_frames(video, timestamps)
    if store.version == OLD_VERSION:
        _warn_once(f"frame store {frames} is an old one, whose damage goes unseen; `surglavi frames` upgrades it")
    return store.decode(check_timestamps(frames, timestamps))


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)
