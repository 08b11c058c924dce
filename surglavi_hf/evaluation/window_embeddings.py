# SPDX-License-Identifier: Apache-2.0
"""
Every labelled frame of a benchmark through a model, seen in the window around it, by all processes; each video as soon
as it is done on disk. A frame is read and preprocessed once for all windows that it is in.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from ..interrupts import interrupts_for_us_alone
from ..options import option
from ..surgclip import centered_window, online_window
from .benchmarks import Benchmark
from .frame_source import FrameSource
from .launched import Processes
from .video_encoder import Preprocessed, VideoEncoder
from .video_store import VideoResult, VideoStore, store_key

FEATURES = ("raw", "projected")  # that every model gives, or one of them
_FRAMES_A_READ = 32
# From the embeddings of a batch of windows to what is kept of them, each of shape (num_windows, dim).
Keep = Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Windows:
    """
    Which frames are shown of the stream around a labelled one.

    Args:
        placement: "centered": `num_frames // 2` frames before it and the rest from it on, as in SurgCLIP's official
            evaluation; "online": those that end with it.
        num_frames: Of a window; by default as many as the model was trained with, 16 for models of images.
        stride: From one frame of a window to the next, in listed frames.

    Raises:
        ValueError: `placement` is neither, or a number is not positive.
    """

    placement: Literal["centered", "online"] = option("centered", "Around or up to a frame.", flag="--window")
    num_frames: int | None = option(None, "Of a window (default: the model's, or 16).")
    stride: int = option(1, "From one frame of a window to the next, in listed frames.")

    def __post_init__(self):
        if self.placement not in ("centered", "online"):
            raise ValueError(f"placement={self.placement!r}, expected 'centered' or 'online'")
        for name in ("num_frames", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}, expected a whole number >= 1")

    def around(self, positions: Sequence[int], length: int, num_frames: int) -> np.ndarray:
        """
        Returns the frames of the window around each position, of shape `(len(positions), num_frames)`. Where the video
        ends, its first or last frame is repeated.

        Args:
            positions: Frames, from 0.
            length: Frames of the video.
            num_frames: Taken where these windows leave it open.
        """
        num_frames = self.num_frames or num_frames
        if self.placement == "centered":
            windows = [centered_window(position, length, num_frames, self.stride) for position in positions]
        else:
            windows = [online_window(position, num_frames, self.stride) for position in positions]
        return np.array(windows, np.int64).reshape(-1, num_frames)

    def shown(self, encoder: VideoEncoder, positions: Sequence[int], length: int) -> np.ndarray:
        """
        Returns which frames an encoder is shown, of shape `(len(positions), num_frames)`: as `around`, or, of centred
        windows that leave the rest open, those of its own `window_offsets`; there the frame itself stands in where the
        video ends.
        """
        if not self._are_the_encoders(encoder):
            return self.around(positions, length, encoder.num_frames)
        places = np.asarray(positions, np.int64).reshape(-1, 1)
        found = places + np.array(encoder.window_offsets)
        return np.where((found >= 0) & (found < length), found, places)

    def protocol_of(self, encoder: VideoEncoder) -> dict[str, str | int]:
        """Returns these choices, as an encoder is shown frames, by name, for a report."""
        found = self.protocol(encoder.num_frames)
        if self._are_the_encoders(encoder):
            offsets = encoder.window_offsets
            found |= {"window": f"from {offsets[0]} to {offsets[-1]} of the frame, as its authors"}
            found |= {"window_ends": "the frame itself stands in"}
        return found

    def _are_the_encoders(self, encoder: VideoEncoder) -> bool:
        left_open = self.placement == "centered" and self.num_frames is None and self.stride == 1
        return left_open and encoder.window_offsets is not None

    def protocol(self, num_frames: int) -> dict[str, str | int]:
        """Returns these choices by name, for a report."""
        return {
            "window": self.placement,
            "window_num_frames": self.num_frames or num_frames,
            "window_stride": self.stride,
            "window_frames": "neighbours among the listed ones, whatever time lies between them",
            "window_ends": "first or last frame repeated",
        }


@dataclass(frozen=True)
class View:
    """
    How one model sees a benchmark.

    Args:
        encoder: Must be in evaluation mode.
        windows: Which frames are shown.
        keep: What is kept of the embeddings.
        store: Where the results are written, a file a video.
    """

    encoder: VideoEncoder
    windows: Windows
    keep: Keep
    store: VideoStore | None = None


def embed_benchmark(
    encoder: VideoEncoder,
    benchmark: Benchmark,
    windows: Windows,
    keep: Keep,
    store: VideoStore | None = None,
    batch_size: int = 32,
    num_workers: int = 0,
) -> dict[str, VideoResult]:
    """
    Returns what `keep` keeps of every labelled frame, by video. Each process embeds some of the videos, and returns
    all of them; what the store has is not computed again.

    Args:
        encoder, windows, keep, store: As a [`View`] has them.
        benchmark: With frames.
        batch_size: Windows a forward pass.
        num_workers: Processes that read frames.

    Raises:
        ValueError: there are no videos, labels alone, or results of another evaluation in the store.
        FileNotFoundError, VideoDecodeError: a frame or video cannot be read.
    """
    return embed_view(View(encoder, windows, keep, store), benchmark, batch_size, num_workers)


def embed_view(view: View, benchmark: Benchmark, batch_size: int = 32, num_workers: int = 0) -> dict[str, VideoResult]:
    """As [`embed_benchmark`], of a view."""
    results = {name: found[0] for name, found in embed_views([view], benchmark, batch_size, num_workers)}
    return Processes().merge(results)


def embed_views(
    views: Sequence[View],
    benchmark: Benchmark,
    batch_size: int = 32,
    num_workers: int = 0,
    seen: Callable[[int], None] | None = None,
) -> Iterator[tuple[str, list[VideoResult]]]:
    """
    Yields each video of this process with what every view keeps of its labelled frames. A frame is read once for all
    views, and preprocessed once for those whose models do it alike. What a view's store has is not computed again.

    Args:
        views: Of as many models.
        benchmark: With frames.
        batch_size: Windows a forward pass.
        num_workers: Processes that read frames.
        seen: Is told of numbers of frames that were read.

    Raises:
        ValueError: there are no videos, labels alone, or results of another evaluation in a store.
        FileNotFoundError, VideoDecodeError: a frame or video cannot be read.
    """
    check_can_be_seen(benchmark)
    processes = Processes()
    counts = {name: len(benchmark.positions(name)) for name in benchmark.videos}
    mine = processes.share(counts)
    total = len(views) * sum(counts[name] for name in mine)
    hidden = processes.index > 0
    with tqdm(
        total=total, desc=benchmark.name, unit="frame", disable=hidden, delay=0.5
    ) as progress:  # not of what is there
        for name in mine:
            stored = [view.store.read(name, counts[name]) if view.store else None for view in views]
            progress.update(counts[name] * sum(result is not None for result in stored))
            missing = [place for place, result in enumerate(stored) if result is None]
            found = _embed_video(
                [views[place] for place in missing], benchmark, name, batch_size, num_workers, progress.update, seen
            )
            columns = _columns(benchmark, name)
            for place, result in zip(missing, found, strict=True):
                stored[place] = result
                if (store := views[place].store) is not None:
                    store.write(name, columns, result)
            yield name, stored


def _embed_video(
    views: Sequence[View],
    benchmark: Benchmark,
    name: str,
    batch_size: int,
    num_workers: int,
    progress: Callable[[int], None],
    seen: Callable[[int], None] | None,
) -> list[VideoResult]:
    video, positions = benchmark.videos[name], benchmark.positions(name)
    streams = [
        WindowStream(view.encoder, view.windows.shown(view.encoder, positions, len(video.frames)), batch_size)
        for view in views
    ]
    parts: list[list[Mapping[str, torch.Tensor]]] = [[] for _ in views]
    seconds = [0.0 for _ in views]
    started = time.perf_counter()
    for count, inputs in read_frames(video.frames, streams, num_workers):
        reading = (time.perf_counter() - started) / len(streams)  # which all share alike
        if seen is not None:
            seen(count)
        for place, (view, stream) in enumerate(zip(views, streams, strict=True)):
            started = time.perf_counter()
            for embeds in stream.push(inputs[place]):
                parts[place].append(view.keep(embeds))
                progress(len(next(iter(parts[place][-1].values()))))
            seconds[place] += reading + time.perf_counter() - started
        started = time.perf_counter()
    return [
        VideoResult(
            {key: torch.cat([part[key] for part in found]).numpy() for key in found[0]} if found else {}, spent
        )
        for found, spent in zip(parts, seconds, strict=True)
    ]


def features_view(
    folder: str | os.PathLike | None, benchmark: Benchmark, encoder: VideoEncoder, windows: Windows, scored: bool
) -> View:
    """
    Returns a view that keeps what a model gives of a benchmark's windows, in a folder of its own below `folder`.

    Args:
        folder: Of the features of any number of models and benchmarks; None keeps them in memory alone.
        benchmark, encoder, windows: As a [`View`] has them.
        scored: Whether windows are compared with texts, for which some models need more than their embeddings.
    """
    more = scored and type(encoder).score is not VideoEncoder.score

    def keep(embeds: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        return {name: values for name, values in embeds.items() if more or name in FEATURES}

    if folder is None:
        return View(encoder, windows, keep)
    seen = {**windows.protocol_of(encoder), **encoder.frame_protocol()}
    parts = (benchmark.fingerprint, encoder.describe(), benchmark.protocol["frame_reading"], seen)
    key = store_key(*parts, "for scores") if more else store_key(*parts)
    return View(encoder, windows, keep, VideoStore(Path(folder) / f"{benchmark.name}-{key}", key))


def check_can_be_seen(benchmark: Benchmark) -> None:
    """Raises ValueError where a benchmark has no video, or labels alone."""
    if not benchmark.videos:
        raise ValueError(f"{benchmark.name} has no videos; choose another split")
    if any(video.frames is None for video in benchmark.videos.values()):
        raise ValueError(f'{benchmark.name} was read with source="labels"; read it with its frames or videos')


def _columns(benchmark: Benchmark, name: str) -> dict[str, list]:
    video, positions = benchmark.videos[name], benchmark.positions(name)
    return {
        "time": [video.times[position] for position in positions],
        "frame": [video.numbers[position] for position in positions],
        "label": benchmark.labels(name).tolist(),
    }


def embed_windows(
    encoder: VideoEncoder, frames: FrameSource, windows: np.ndarray, batch_size: int = 32, num_workers: int = 0
) -> Iterator[dict[str, torch.Tensor]]:
    """
    Yields the embeddings of windows, a batch at a time, as [`VideoEncoder.embed_windows`]. Every frame is read and
    preprocessed once; those that no later window needs are let go.

    Args:
        encoder: Must be in evaluation mode.
        frames: Of one video.
        windows: Positions of frames, of shape `(num_windows, num_frames)`, in order of time.
        batch_size: Windows a forward pass.
        num_workers: Processes that read frames.

    Raises:
        FileNotFoundError, ValueError, VideoDecodeError: as [`FrameSource.read`].
    """
    stream = WindowStream(encoder, windows, batch_size)
    for _, inputs in read_frames(frames, [stream], num_workers):
        yield from stream.push(inputs[0])


class WindowStream:
    """
    Embeds windows as their frames come in.

    Args:
        encoder: Must be in evaluation mode.
        windows: Positions of frames, of shape `(num_windows, num_frames)`, in order of time.
        batch_size: Windows a forward pass.
    """

    def __init__(self, encoder: VideoEncoder, windows: np.ndarray, batch_size: int):
        self.encoder, self.batch_size = encoder, batch_size
        self.needed, places = np.unique(windows, return_inverse=True)
        self._places = torch.from_numpy(places.reshape(windows.shape))  # into `needed`
        self._start, self._held, self._first = 0, torch.empty(0), 0  # frames of `needed` from the first on

    def push(self, frames: Preprocessed | None) -> Iterator[dict[str, torch.Tensor]]:
        """Yields the embeddings of windows that have all their frames with these, the next ones of `needed`."""
        if frames is None:
            return
        new = self.encoder.encode_frames(frames)
        self._held = torch.cat([self._held, new]) if len(self._held) else new
        while self._start < len(self._places):
            batch = self._places[self._start : self._start + self.batch_size]
            lowest = batch.min().item()
            self._held, self._first = self._held[lowest - self._first :], lowest
            if batch.max().item() >= self._first + len(self._held):
                return
            embeds = self.encoder.embed_windows(self._held, batch - self._first)
            self._start += self.batch_size
            yield {name: values.float().cpu() for name, values in embeds.items()}


def read_frames(
    frames: FrameSource, streams: Sequence[WindowStream], num_workers: int = 0
) -> Iterator[tuple[int, list[Preprocessed | None]]]:
    """
    Yields, several frames at a time, how many were read and what each stream takes of them next, if anything. A frame
    is read once, and preprocessed once for the streams whose models do it alike.

    Raises:
        FileNotFoundError, ValueError, VideoDecodeError: as [`FrameSource.read`].
    """
    if not streams:
        return
    kinds = [preprocessing_key(stream.encoder) for stream in streams]
    groups = {
        kind: (
            streams[kinds.index(kind)].encoder,
            np.unique(np.concatenate([s.needed for s, k in zip(streams, kinds, strict=True) if k == kind])),
        )
        for kind in dict.fromkeys(kinds)
    }
    positions = np.unique(np.concatenate([stream.needed for stream in streams]))
    reader = _Reader(frames, positions, list(groups.values()))
    with interrupts_for_us_alone():
        loader = iter(DataLoader(reader, _FRAMES_A_READ, collate_fn=_as_it_is, num_workers=num_workers))
    for start, of_groups in zip(range(0, len(positions), _FRAMES_A_READ), loader, strict=True):
        read = positions[start : start + _FRAMES_A_READ]
        inputs = []
        for stream, kind in zip(streams, kinds, strict=True):
            group = list(groups).index(kind)
            there = read[np.isin(read, groups[kind][1])]
            inputs.append(_rows(of_groups[group], np.isin(there, stream.needed)))
        yield len(read), inputs


def preprocessing_key(encoder: VideoEncoder) -> str:
    """Returns what two encoders have in common that preprocess frames alike; none where that is not known."""
    settings, method = encoder.frame_protocol().get("frame_preprocessing"), type(encoder).preprocess
    return f"{id(encoder)}" if settings is None else f"{method.__module__}.{method.__qualname__} {settings}"


class _Reader(Dataset):
    """Frames preprocessed in each of several ways, several at a time, as a video is best read."""

    def __init__(self, frames: FrameSource, positions: np.ndarray, groups: Sequence[tuple[VideoEncoder, np.ndarray]]):
        self.frames, self.positions, self.groups = frames, positions, groups

    def __len__(self) -> int:
        return len(self.positions)

    def __getitems__(self, places: list[int]) -> list[Preprocessed | None]:
        read = self.positions[places]
        frames = self.frames.read(read.tolist())
        return [_preprocessed(encoder, frames, np.isin(read, needed)) for encoder, needed in self.groups]


def _preprocessed(encoder: VideoEncoder, frames: torch.Tensor, chosen: np.ndarray) -> Preprocessed | None:
    if not chosen.any():
        return None
    return encoder.preprocess(frames if chosen.all() else frames[torch.from_numpy(chosen)])


def _rows(frames: Preprocessed | None, chosen: np.ndarray) -> Preprocessed | None:
    if frames is None or not chosen.any():
        return None
    if chosen.all():
        return frames
    kept = torch.from_numpy(chosen)
    return frames[kept] if isinstance(frames, torch.Tensor) else {name: rows[kept] for name, rows in frames.items()}


def _as_it_is(frames: list[Preprocessed | None]) -> list[Preprocessed | None]:
    return frames
