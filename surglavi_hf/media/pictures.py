# SPDX-License-Identifier: Apache-2.0
"""Frames of the videos of a library as small JPEG pictures, for people to look at; without PyTorch."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from .decoder_cache import DecoderCache
from .errors import DamagedVideoError, PastEndError
from .frame_store import open_frame_store
from .library import VideoLibrary
from .pyav_decoder import PyAVDecoder

_CACHE = DecoderCache(size=4)
_QUALITY = 85


def read_pictures(
    library: VideoLibrary, name: str, timestamps: Sequence[float], height: int | None = None
) -> list[bytes]:
    """
    Returns the last frames at or before `timestamps` (s) as JPEG: as its frame store has them where the video has one
    of it as it is, else decoded from the video. A time after the end is the end's.

    Args:
        library: Where the video is.
        name: The video's.
        timestamps: One or more.
        height: Of the pictures in pixels, at most; as they are stored where it is not given.

    Raises:
        FileNotFoundError: neither the video nor its frame store is there.
        ValueError: `name` cannot be a file name.
        VideoDecodeError: what is there cannot be read.
    """
    times = np.maximum(np.asarray(timestamps, np.float64), 0.0)
    video, frames = library.video_path(name), library.frames_path(name)
    if frames.is_file():
        store = open_frame_store(frames)
        if not video.is_file() or store.made_from(video):
            images = store.images(np.minimum(times, store.end))
            return images if height is None else [_lowered(image, height) for image in images]
    if not video.is_file():
        raise FileNotFoundError(f"neither a video nor frames of {name} are in {library.root}")
    return [as_jpeg(picture, height) for picture in video_pictures(video, times)]


def video_pictures(path: Path, times: np.ndarray) -> np.ndarray:
    """
    Returns the frames of a video on screen at `times` (s), `np.uint8` of shape `(len(times), height, width, 3)`; a
    time after the end is the end's. Raises VideoDecodeError where it cannot be decoded.
    """
    try:
        return _decoded(path, times)
    except PastEndError as error:
        return _decoded(path, np.minimum(times, error.end))


def _decoded(path: Path, times: np.ndarray) -> np.ndarray:
    status = path.stat()
    key = (str(path), status.st_ino, status.st_size, status.st_mtime_ns)
    name = os.path.abspath(path)  # which FFmpeg takes for no option
    try:
        with _CACHE.lend(key, lambda: PyAVDecoder(name)) as decoder:
            return decoder.pictures(times)
    except DamagedVideoError:
        with _CACHE.lend((*key, "careful"), lambda: PyAVDecoder(name, careful=True)) as decoder:
            return decoder.pictures(times)


def _lowered(image: bytes, height: int) -> bytes:
    if simplejpeg.decode_jpeg_header(image)[0] <= height:
        return image
    return as_jpeg(simplejpeg.decode_jpeg(image, min_height=height), height)


def side_by_side(images: Sequence[bytes]) -> bytes:
    """Returns JPEG pictures as one, left to right, each as large as the first."""
    pictures = [simplejpeg.decode_jpeg(image) for image in images]
    height, width = pictures[0].shape[:2]
    alike = [
        picture
        if picture.shape[:2] == (height, width)
        else np.asarray(Image.fromarray(picture).resize((width, height)))
        for picture in pictures
    ]
    return as_jpeg(np.concatenate(alike, axis=1))


def as_jpeg(picture: np.ndarray, height: int | None = None) -> bytes:
    """
    Returns a picture as JPEG.

    Args:
        picture: `np.uint8` of shape `(height, width, 3)`.
        height: In pixels, at most.
    """
    if height is not None and picture.shape[0] > height:
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        picture = np.asarray(
            Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)
        )
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), _QUALITY, colorspace="RGB", colorsubsampling="420")
