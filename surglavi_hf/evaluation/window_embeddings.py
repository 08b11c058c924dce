# SPDX-License-Identifier: Apache-2.0
"""
Every labelled frame of a benchmark through a model, seen in the window around it, by all processes; each video as soon
as it is done on disk. A frame is read and preprocessed once for all windows that it is in.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from ..interrupts import interrupts_for_us_alone
from ..options import option
from ..surgclip import centered_window, online_window
from .benchmarks import Benchmark
from .encoders import Preprocessed, VideoEncoder
from .frame_source import FrameSource
from .launched import Processes
from .video_store import VideoResult, VideoStore

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

    def protocol(self, num_frames: int) -> dict[str, str | int]:
        """Returns these choices by name, for a report."""
        return {
            "window": self.placement,
            "window_num_frames": self.num_frames or num_frames,
            "window_stride": self.stride,
            "window_frames": "neighbours among the listed ones, whatever time lies between them",
            "window_ends": "first or last frame repeated",
        }


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
        encoder: Must be in evaluation mode.
        benchmark: With frames.
        windows: Which frames are shown.
        keep: What is kept of the embeddings.
        store: Where the results are written, a file a video.
        batch_size: Windows a forward pass.
        num_workers: Processes that read frames.

    Raises:
        ValueError: there are no videos, labels alone, or results of another evaluation in the store.
        FileNotFoundError, VideoDecodeError: a frame or video cannot be read.
    """
    check_can_be_seen(benchmark)
    processes = Processes()
    counts = {name: len(benchmark.positions(name)) for name in benchmark.videos}
    mine, results = processes.share(counts), {}
    total = sum(counts[name] for name in mine)
    with tqdm(total=total, desc=benchmark.name, unit="frame", disable=processes.index > 0) as progress:
        for name in mine:
            results[name] = store.read(name, counts[name]) if store else None
            if results[name] is not None:
                progress.update(counts[name])
                continue
            started = time.perf_counter()
            video, positions = benchmark.videos[name], benchmark.positions(name)
            around = windows.around(positions, len(video.frames), encoder.num_frames)
            parts = []
            for embeds in embed_windows(encoder, video.frames, around, batch_size, num_workers):
                parts.append(keep(embeds))
                progress.update(len(next(iter(parts[-1].values()))))
            arrays = {key: torch.cat([part[key] for part in parts]).numpy() for key in parts[0]} if parts else {}
            results[name] = VideoResult(arrays, time.perf_counter() - started)
            if store:
                store.write(name, _columns(benchmark, name, positions), results[name])
    return processes.merge(results)


def check_can_be_seen(benchmark: Benchmark) -> None:
    """Raises ValueError where a benchmark has no video, or labels alone."""
    if not benchmark.videos:
        raise ValueError(f"{benchmark.name} has no videos; choose another split")
    if any(video.frames is None for video in benchmark.videos.values()):
        raise ValueError(f'{benchmark.name} was read with source="labels"; read it with its frames or videos')


def _columns(benchmark: Benchmark, name: str, positions: list[int]) -> dict[str, list]:
    video = benchmark.videos[name]
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
    needed, places = np.unique(windows, return_inverse=True)
    places = torch.from_numpy(places.reshape(windows.shape))  # into `needed`
    reader = _Reader(encoder, frames, needed)
    with interrupts_for_us_alone():
        loader = iter(DataLoader(reader, _FRAMES_A_READ, collate_fn=_as_it_is, num_workers=num_workers))
    held, first = torch.empty(0), 0  # frames of `needed` from the first on
    for start in range(0, len(places), batch_size):
        batch = places[start : start + batch_size]
        lowest, highest = batch.min().item(), batch.max().item()
        parts = [held[lowest - first :]]
        count = len(parts[0])
        while lowest + count <= highest:
            parts.append(encoder.encode_frames(next(loader)))
            count += len(parts[-1])
        held, first = torch.cat(parts) if len(held) else torch.cat(parts[1:]), lowest
        embeds = encoder.embed_windows(held, batch - first)
        yield {name: values.float().cpu() for name, values in embeds.items()}


class _Reader(Dataset):
    """Preprocessed frames, several at a time, as a video is best read."""

    def __init__(self, encoder: VideoEncoder, frames: FrameSource, positions: np.ndarray):
        self.encoder, self.frames, self.positions = encoder, frames, positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitems__(self, places: list[int]) -> Preprocessed:
        return self.encoder.preprocess(self.frames.read(self.positions[places].tolist()))


def _as_it_is(frames: Preprocessed) -> Preprocessed:
    return frames
