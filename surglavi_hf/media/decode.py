# SPDX-License-Identifier: Apache-2.0
"""Frames at timestamps, by PyAV, torchcodec or decord."""

import logging
import os
import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from .decoder_cache import Decoder, DecoderCache
from .errors import GET_ANOTHER, DamagedVideoError, PastEndError, VideoDecodeError

logger = logging.getLogger(__name__)

Backend = Literal["auto", "pyav", "torchcodec", "decord"]

# The fastest first, as benchmarks/clip_loading.py measures.
_DECODERS = {"pyav": "PyAVDecoder", "torchcodec": "TorchcodecDecoder", "decord": "DecordDecoder"}
_PACKAGES = {"pyav": "av", "torchcodec": "torchcodec", "decord": "decord"}
# What loaders say on Linux and on macOS of a library that another needs.
_NOT_FOUND = re.compile(r"([^\s:]+): cannot open shared object file|Library not loaded: (\S+)")
_CACHE = DecoderCache(size=4)  # each holds tens of megabytes of a 1080p video


def decode_frames(path: str | os.PathLike, timestamps: Sequence[float], backend: Backend = "auto") -> torch.Tensor:
    """
    Returns the frames on screen at `timestamps`: for each the last frame that starts at or before it, upright, of the
    best video stream, with the pixels it is stored with (not stretched where these are not square).

    A frame that cannot be decoded is replaced by the last before it that can, with a warning, up to 1 s after the end
    of that one. The last few decoders stay open, for reading the same video again.

    Recordings that were joined byte by byte, so that the clock starts again, follow each other without a gap where the
    format allows that (MPEG streams, FLV); all packets of such a file are read once, not decoded, when it is opened.

    Args:
        path: A video file.
        timestamps: Seconds from the start of the file as players count them, in any order, repeats allowed. Before
            the first frame counts as the first; up to 1 s past the end counts as the last.
        backend: `"pyav"`, `"torchcodec"` or `"decord"`; with `"auto"` the fastest of those that are installed and can
            read the file. PyAV is exact; the others refuse files in which they are known to give other frames: MPEG
            streams, AVI, over 8 bits a colour, pictures that come together without key frames, cuts between key
            frames; decord also HEVC, edit lists and open groups of pictures. Damage remains, of which they can give
            others.

    Returns:
        `torch.uint8` tensor of shape `(len(timestamps), 3, height, width)`, RGB.

    Raises:
        FileNotFoundError: `path` is not a file.
        ImportError: `backend` is not installed, or does not work here, or none does.
        ValueError: `timestamps` is empty, one is negative or not finite, or `backend` is none of the four.
        PastEndError: a timestamp is further past the end.
        VideoDecodeError: the file, or the frame, cannot be decoded, or the file has not one clock.
    """
    path = os.path.abspath(path)  # which no decoder takes for an address or an option
    times = check_timestamps(path, timestamps)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"video {path} is not there")
    if backend != "auto":
        return _decode(path, times, backend)
    if not installed_backends():
        raise ImportError(f"no decoder works here: {'; '.join(backend_problems().values())}")
    failure = None
    for name in installed_backends():
        try:
            frames = _decode(path, times, name)
        except PastEndError:
            raise
        except VideoDecodeError as error:
            failure = failure or error
            continue
        if failure:
            _warn_once(path, name, str(failure))
        return frames
    raise failure


def check_timestamps(path: str | os.PathLike, timestamps: Sequence[float]) -> np.ndarray:
    """Returns timestamps as an array of float64. Raises ValueError where there are none, or they are no times."""
    times = np.asarray(timestamps, dtype=np.float64)
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all() or times.min() < 0:
        raise ValueError(
            f"timestamps {list(timestamps)!r} for {path}: expected one or more finite numbers of seconds >= 0"
        )
    return times


@cache
def installed_backends() -> tuple[str, ...]:
    """Returns which backends work here, the fastest first."""
    return tuple(name for name in _DECODERS if isinstance(_decoder_class(name), type))


def backend_problems() -> dict[str, str]:
    """Returns the backends that do not work here, with why not and what to do: one that is needed or installed."""
    problems = {name: _problem(name) for name in _DECODERS if name not in installed_backends()}
    return {name: text for name, text in problems.items() if name == "pyav" or _is_installed(name)}


def _problem(backend: str) -> str:
    package, error = _PACKAGES[backend], _decoder_class(backend)
    if not _is_installed(backend):
        return f"{backend} is not installed ({_first_line(error)}): pip install {package}"
    if backend != "pyav" and "pyav" not in installed_backends():
        return f"{backend} is installed, but opens files with PyAV, which does not work"
    missing = _missing_libraries(error)
    ffmpeg = [name for name in missing if name.startswith("libav")]
    if backend == "torchcodec" and ffmpeg:
        return (
            f"torchcodec is installed, but FFmpeg's shared libraries are not (looked for {', '.join(ffmpeg)}): "
            "conda install -c conda-forge ffmpeg, or apt install ffmpeg"
        )
    reason = f"no {', '.join(missing)} on this machine" if missing else _first_line(error)
    return (
        f"{backend} is installed, but does not load ({reason}): install the release of {package} made for this "
        "machine and its PyTorch"
    )


def _missing_libraries(error: BaseException | None) -> list[str]:
    """Returns which shared libraries were looked for and not found, as an error or those behind it say."""
    found: dict[str, None] = {}
    while error:
        found |= dict.fromkeys(Path(name).name for pair in _NOT_FOUND.findall(str(error)) for name in pair if name)
        error = error.__cause__ or error.__context__
    return list(found)


def _is_installed(backend: str) -> bool:
    return find_spec(_PACKAGES[backend]) is not None


@cache
def _decoder_class(backend: str) -> type | Exception:
    """Returns the class of a backend, or why there is none."""
    try:
        return getattr(import_module(f".{backend}_decoder", __package__), _DECODERS[backend])
    except Exception as error:  # whatever loading a library raises; torchcodec and decord load FFmpeg's
        return error


@cache
def _warn_once(path: str, backend: str, reason: str) -> None:
    logger.warning("%s; reading it with %s", reason, backend)


def _decode(path: str, times: np.ndarray, backend: str) -> torch.Tensor:
    if backend not in _DECODERS:
        raise ValueError(f"backend={backend!r}, expected one of 'auto', {', '.join(map(repr, _DECODERS))}")
    decoder_class = _decoder_class(backend)
    if isinstance(decoder_class, Exception):
        raise ImportError(
            f"backend={backend!r} does not work here: {_problem(backend)}; or leave backend='auto'"
        ) from decoder_class
    try:
        try:
            return _decode_with(decoder_class, path, times)
        except DamagedVideoError:
            return _decode_with(decoder_class, path, times, careful=True)
    except VideoDecodeError:
        raise
    except Exception as error:  # each library's own, FFmpeg's among them
        raise VideoDecodeError(
            f"video {path} cannot be decoded by {backend} ({_first_line(error)}); {GET_ANOTHER}"
        ) from error


def _decode_with(decoder_class: type, path: str, times: np.ndarray, **options: bool) -> torch.Tensor:
    status = os.stat(path)
    # Decoders take as many threads as PyTorch, one in the worker of a DataLoader.
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, torch.get_num_threads())
    key = (decoder_class, path, state, tuple(options))

    def open_decoder() -> Decoder:
        return decoder_class(path, **options)

    with _CACHE.lend(key, open_decoder) as decoder:
        return decoder.decode(times)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
