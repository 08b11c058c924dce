# SPDX-License-Identifier: Apache-2.0
"""Every labelled frame of a benchmark through a model, by all processes, each video as soon as it is done on disk."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tqdm.auto import tqdm

from .benchmarks import Benchmark
from .encoders import VideoEncoder
from .launched import Processes
from .video_store import VideoResult, VideoStore
from .windows import Windows, embed_windows

# From the embeddings of a batch of windows to what is kept of them, each of shape (num_windows, dim).
Keep = Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]


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


def store_key(*parts: Any) -> str:
    """Returns a digest of what results depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _columns(benchmark: Benchmark, name: str, positions: list[int]) -> dict[str, list]:
    video = benchmark.videos[name]
    return {
        "time": [video.times[position] for position in positions],
        "frame": [video.numbers[position] for position in positions],
        "label": benchmark.labels(name).tolist(),
    }
