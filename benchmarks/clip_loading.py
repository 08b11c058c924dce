# SPDX-License-Identifier: Apache-2.0
"""
Clips of 16 frames, read from a frame store, from upstream's WebP files and from the video by each decoder.

The video is made for it: 720p H.264 of 2 Mbit/s with a key frame every 5 s or sooner, as YouTube's. Its pictures
(textures under a moving camera, a lobe, two instruments, a vignette, noise) have as much detail as the video that
upstream's way was first measured on: 26 kB a WebP file, 234 MB for 300 s. Laparoscopic video has less: five clips of
Cholec80 and one of AutoLaparo have 5 to 16 kB a WebP file, and there a frame store is read 3.3 to 3.8 times as fast
and takes 1/2.1 to 1/3.3 of the disk.

Upstream's way to disk: every frame of the video becomes a PNG by FFmpeg's encoder on all cores, which is read again in
one process, resized to 512 pixels of the longer side and written as WebP of quality 80. The frame store is built by
`build_frame_stores` as by default, in one process, too, as it is one video; starting that counts. When clips are read,
all files are in the system's cache, and one thread reads, as in a DataLoader's worker.

    python benchmarks/clip_loading.py
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
from av.video.stream import VideoStream
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.nn.functional import interpolate
from tqdm import tqdm

from surglavi_hf.media import decode, frame_store
from surglavi_hf.media.build_frames import build_frame_stores
from surglavi_hf.media.decode import decode_frames, installed_backends
from surglavi_hf.media.frames import read_frames
from surglavi_hf.media.library import VideoLibrary

WIDTH, HEIGHT, FPS = 1280, 720, 30
X264_OPTIONS = {"b": "2000000", "preset": "veryfast", "profile": "high", "g": str(5 * FPS), "bf": "3"}
WEBP_LONGER_SIDE, WEBP_QUALITY = 512, 80

MARGIN = 400  # by which a texture is larger than the picture on each side, in half pixels
OPAQUE = 127  # times 255 still fits into int16

NAME = "benchmark"
CLIP_LENGTHS_S = (5, 30, 120)
FRAMES_PER_CLIP = 16
LARGEST_DIFFERENCE = 6  # of 255, mean; what a smaller size and the compression cost is less
STORE, WEBP = "frame store", "WebP files"
ANEW, KEPT = ", opened anew", ", kept open"


class Layer(NamedTuple):
    """A part of the scene, drawn twice as fine as the video, so that what moves does so by half pixels."""

    colour: np.ndarray  # int16, (3, rows, columns): luma from 0 to 219, and both chromas around 0
    alpha: np.ndarray  # int16, (rows, columns), 0 to OPAQUE
    corners: np.ndarray  # int64, (num_frames, 2): the row and the column that are at the picture's corner


def texture(rng: np.random.Generator, steepness: float = 0.93) -> np.ndarray:
    """Returns a field of amplitudes 1 / frequency**steepness, blurred as by a lens; mean 0, deviation 1."""
    shape = 2 * HEIGHT + 2 * MARGIN, 2 * WIDTH + 2 * MARGIN
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) / frequency**steepness * np.exp(-((frequency / 0.12) ** 2))
    field = np.fft.irfft2(spectrum, shape)
    return (field / field.std()).astype(np.float32)


def motion(rng: np.random.Generator, num_frames: int, slowest_s: float) -> np.ndarray:
    """Returns the corners of a layer that wanders slowly and shakes a little."""
    times_s = np.arange(num_frames)[:, None] / FPS
    offset = np.zeros((num_frames, 2))
    for share, period_s in ((0.65, slowest_s), (0.25, slowest_s / 3), (0.01, 0.7), (0.005, 0.3)):
        offset += share * np.sin(2 * np.pi * (times_s / period_s + rng.uniform(size=2)))
    return MARGIN + (MARGIN * offset).astype(np.int64)


def tissue(rng: np.random.Generator, colours: list[tuple], corners: np.ndarray, least: float) -> Layer:
    """Returns tissue of two mixed colours with glare on it, in lobes: where a field of deviation 1 is over `least`."""
    relief, mixture, outline = texture(rng), texture(rng), texture(rng, steepness=2.2)
    first, second = (np.array(colour, np.float32)[:, None, None] for colour in colours)
    colour = first + (second - first) / (1 + np.exp(-4 * mixture))
    colour[0] = np.clip(colour[0] + 22 * relief + 250 * np.clip(relief - 2.2, 0, 0.4), 5, 215)
    alpha = OPAQUE * np.clip(60 * (outline - least), 0, 1)
    return Layer(colour.astype(np.int16), alpha.astype(np.int16), corners)


def instrument(rng: np.random.Generator, side: int, luma: int, corners: np.ndarray) -> Layer:
    """Returns a shaft with a brighter tip, reaching in from the left (`side` -1) or right (1) below."""
    relief = texture(rng)
    rows, columns = np.indices(relief.shape, np.float32)
    down, outward = rows - MARGIN - HEIGHT, side * (columns - MARGIN - WIDTH) - 100
    along, across = 0.8 * outward + 0.6 * down, np.abs(0.6 * outward - 0.8 * down)
    radius = np.where(along > 150, 70, 45)
    alpha = OPAQUE * np.clip((radius - across) / 4, 0, 1) * np.clip(along / 4, 0, 1)
    colour = np.zeros((3, *relief.shape), np.float32)
    colour[0] = np.where(along > 150, luma, 150) * np.sqrt(np.clip(1 - (across / radius) ** 2, 0.05, 1)) + 3 * relief
    return Layer(np.clip(colour, 0, 219).astype(np.int16), alpha.astype(np.int16), corners)


def scene(rng: np.random.Generator, num_frames: int) -> list[Layer]:
    """Returns the layers, from the back to the front. Colours are luma and the two chromas."""
    camera = motion(rng, num_frames, slowest_s=40)
    moved = [camera // 2 + motion(rng, num_frames, slowest_s) // 2 for slowest_s in (25, 9, 12)]
    return [
        tissue(rng, [(85, -16, 40), (125, -32, 16)], camera, least=-np.inf),
        tissue(rng, [(55, -6, 26), (75, -12, 34)], moved[0], least=0.8),
        instrument(rng, -1, 35, moved[1]),
        instrument(rng, 1, 120, moved[2]),
    ]


def light() -> np.ndarray:
    """Returns how bright the endoscope lights each pixel, 0 to `OPAQUE`: less outwards, not beyond its circle."""
    rows, columns = np.indices((HEIGHT, WIDTH), np.float32)
    distance = np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2)
    return (OPAQUE * (1 - 0.5 * (distance / 560) ** 2) * np.clip((560 - distance) / 6, 0, 1)).astype(np.int16)


def draw(layers: list[Layer], index: int, lit: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Returns a frame in PyAV's layout of yuv420p: luma above both chromas, which have half its resolution."""
    picture = np.zeros((HEIGHT * 3 // 2, WIDTH), np.int16)
    luma, chroma = picture[:HEIGHT], picture[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    for layer in layers:
        row, column = layer.corners[index]
        for target, source, step in ((luma, layer.colour[0], 2), (chroma, layer.colour[1:], 4)):
            window = ..., slice(row, row + 2 * HEIGHT, step), slice(column, column + 2 * WIDTH, step)
            target += (source[window] - target) * layer.alpha[window] >> 7
    luma += noise
    luma *= lit
    chroma *= lit[::2, ::2]
    picture >>= 7
    luma += 16
    chroma += 128
    return picture.astype(np.uint8)


def write_video(path: Path, num_frames: int) -> None:
    path.parent.mkdir(parents=True)
    with (
        tqdm(total=num_frames, desc="video", unit=" frames") as progress,
        av.open(str(path), "w", options={"movflags": "+faststart"}) as container,
    ):
        rng = np.random.default_rng(0)
        layers, lit = scene(rng, num_frames), light()
        # A part of this chosen at random is a frame's noise: new to the encoder, and faster than drawing it anew.
        noise = rng.normal(0, 2.5, (2 * HEIGHT, 2 * WIDTH)).round().astype(np.int16)
        stream = container.add_stream("libx264", rate=FPS, options=X264_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(num_frames):
            row, column = rng.integers(0, (HEIGHT, WIDTH))
            picture = draw(layers, index, lit, noise[row : row + HEIGHT, column : column + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
            progress.update()
        container.mux(stream.encode())


def write_webp_files(video: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        frames = tqdm(container.decode(stream), "WebP files", stream.frames, unit=" frames")
        for number, content in enumerate(png_files(frames, stream), start=1):
            png = folder / f"{number:09d}.png"
            png.write_bytes(content)
            with Image.open(png, formats=["PNG"]) as image:
                scale = WEBP_LONGER_SIDE / max(image.size)
                size = round(image.width * scale), round(image.height * scale)
                image.resize(size).save(png.with_suffix(".webp"), quality=WEBP_QUALITY)
            png.unlink()


def png_files(frames: Iterable[av.VideoFrame], stream: VideoStream) -> Iterator[bytes]:
    """Yields the frames as the FFmpeg program makes PNG files of them, which is faster than Pillow."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = stream.width, stream.height, "rgb24"
    encoder.time_base = stream.time_base
    encoder.thread_type, encoder.thread_count = "FRAME", os.cpu_count()
    for frame in frames:
        yield from map(bytes, encoder.encode(frame.reformat(format="rgb24")))
    yield from map(bytes, encoder.encode(None))


def read_webp_files(folder: Path, timestamps: np.ndarray) -> torch.Tensor:
    """As [`read_frames`]."""
    images = []
    for number in np.floor(timestamps * FPS).astype(int) + 1:
        with Image.open(folder / f"{number:09d}.webp", formats=["WEBP"]) as image:
            images.append(np.asarray(image))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def seconds(function: Callable, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def check_frames(way: str, read: Callable, video: Path, duration_s: float) -> None:
    """Ends the program where frames at points of the frame store's grid are not those of the video."""
    timestamps = np.floor(np.linspace(0, duration_s - 1, 8) * 4) / 4
    frames = read(timestamps)
    source = decode_frames(video, timestamps, "pyav").float()
    expected = interpolate(source, frames.shape[-2:], mode="bicubic", antialias=True)
    difference = (expected - frames).abs().mean(dim=(1, 2, 3)).max().item()
    if difference >= LARGEST_DIFFERENCE:
        sys.exit(f"{way}: a frame differs from the video's by {difference:.1f} of 255 on average")


def clip_milliseconds(readers: dict[str, Callable], duration_s: float, num_clips: int) -> dict[tuple[str, int], float]:
    """Returns the median by way and length of the clips."""
    torch.set_num_threads(1)
    lengths = [length for length in CLIP_LENGTHS_S if length < duration_s]
    # Training on thousands of videos opens nearly every one anew. Of WebP files there is nothing to keep open.
    ways = [
        (name + how, read) for name, read in readers.items() for how in (ANEW, KEPT) if (name, how) != (WEBP, KEPT)
    ]
    median_ms = {}
    with tqdm(total=len(lengths) * len(ways) * num_clips, desc="clips", unit=" clips") as progress:
        for length in lengths:
            starts = np.random.default_rng(length).uniform(0, duration_s - length, num_clips + 1)
            clips = starts[:, None] + (np.arange(FRAMES_PER_CLIP) + 0.5) * length / FRAMES_PER_CLIP
            for way, read in ways:
                read(clips[0])  # what happens but once is not timed
                times = []
                for timestamps in clips[1:]:
                    if way.endswith(ANEW):
                        decode._CACHE.clear()
                        frame_store._open_frame_store.cache_clear()
                    times.append(seconds(read, timestamps))
                    progress.update()
                median_ms[way, length] = 1000 * statistics.median(times)
    return median_ms


def clip_table(median_ms: dict[tuple[str, int], float]) -> Table:
    lengths = sorted({length for _, length in median_ms})
    table = Table("median ms, and ratio to the first", title=f"A clip of {FRAMES_PER_CLIP} frames")
    for length in lengths:
        table.add_column(f"of {length} s", justify="right")
        table.add_column("ratio", justify="right")
    for way in dict.fromkeys(way for way, _ in median_ms):
        row = []
        for length in lengths:
            ms = median_ms[way, length]
            row += [f"{ms:.1f}", f"{ms / median_ms[STORE + ANEW, length]:.2f}×"]
        table.add_row(way, *row)
    return table


def target_table(rows: list[tuple[str, float, float, int]]) -> Table:
    """`rows` are what is compared, that of the frame store, that of the peer and the ratio aimed at."""
    table = Table("", "frame store", "peer", "ratio", "target", "", title="Targets")
    for what, ours, peer, target in rows:
        verdict = "met" if peer >= target * ours else "not met"
        table.add_row(what, f"{ours:.1f}", f"{peer:.1f}", f"{peer / ours:.2f}×", f"≥ {target}×", verdict)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="an empty folder, whose files are kept; otherwise they are deleted")
    parser.add_argument("--minutes", type=float, default=5, help="of the video")
    parser.add_argument("--clips", type=int, default=20, help="of each length")
    arguments = parser.parse_args()
    duration_s = round(arguments.minutes * 60)
    if duration_s <= CLIP_LENGTHS_S[0] or arguments.clips < 1:
        parser.error(f"expected a video longer than {CLIP_LENGTHS_S[0]} s, and a clip or more")
    if arguments.work and arguments.work.exists() and any(arguments.work.iterdir()):
        parser.error(f"{arguments.work} is not empty")

    with tempfile.TemporaryDirectory() if arguments.work is None else nullcontext(arguments.work) as work:
        library, folder = VideoLibrary(Path(work) / "library"), Path(work) / "webp"
        video, store = library.video_path(NAME), library.frames_path(NAME)
        readers = {STORE: partial(read_frames, library, NAME), WEBP: partial(read_webp_files, folder)}
        write_video(video, duration_s * FPS)
        store_s = seconds(build_frame_stores, library)
        if not store.is_file():
            sys.exit("no frame store was built")  # and all frames would be read from the video
        check_frames(STORE, readers[STORE], video, duration_s)
        webp_s = seconds(write_webp_files, video, folder)
        check_frames(WEBP, readers[WEBP], video, duration_s)
        readers |= {backend: partial(decode_frames, video, backend=backend) for backend in installed_backends()}
        median_ms = clip_milliseconds(readers, duration_s, arguments.clips)
        video_mb, store_mb = (path.stat().st_size / 1e6 for path in (video, store))
        webp_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6

    console = Console(width=120)
    console.print(f"{os.cpu_count()} cores; video of {duration_s} s, {video_mb:.1f} MB")
    console.print(clip_table(median_ms))
    rows = []
    for peer, length, target in (*((WEBP, length, 4) for length in CLIP_LENGTHS_S), ("decord", 30, 50)):
        if (peer + ANEW, length) in median_ms:
            ours, theirs = median_ms[STORE + ANEW, length], median_ms[peer + ANEW, length]
            rows.append((f"ms, clip of {length} s, {peer}", ours, theirs, target))
    rows += [(f"MB, {WEBP}", store_mb, webp_mb, 6), (f"seconds to build, {WEBP}", store_s, webp_s, 15)]
    console.print(target_table(rows))


if __name__ == "__main__":
    main()
