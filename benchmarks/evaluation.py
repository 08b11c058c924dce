# SPDX-License-Identifier: Apache-2.0
"""The input side of zero-shot evaluation: windows over the frames of a video, from files to what enters the model.

The peer in the same run does as the released package: every window reads, resizes and normalises its 16 frames.

python benchmarks/evaluation.py
python benchmarks/evaluation.py --frames 2000 --peer_windows 200
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from surglavi_hf import SurgCLIPVideoProcessor
from surglavi_hf.evaluation import Windows
from surglavi_hf.evaluation.encoders import ClipEncoder
from surglavi_hf.evaluation.frame_source import ImageFrames
from surglavi_hf.evaluation.ranks import match_ranks
from surglavi_hf.evaluation.window_embeddings import embed_windows

NUM_FRAMES, SIZE = 16, (854, 480)


class InputSide(ClipEncoder):
    """Stops where the model would begin."""

    def __init__(self, video_processor: SurgCLIPVideoProcessor):
        self.video_processor = video_processor
        super().__init__(None, self)

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        pixel_values = frames[windows]  # (B, 16, 3, 224, 224)
        return {"projected": pixel_values[:, :, 0, 0, 0]}


def write_frames(folder: Path, count: int, suffix: str) -> ImageFrames:
    """Smooth shapes that move, with a little noise, as an endoscope's."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] / 100
    names = []
    for number in tqdm(range(count), desc=f"draw {suffix}"):
        waves = [np.sin(x * (1 + channel) + number / 50) * np.cos(y + channel + number / 30) for channel in range(3)]
        picture = 128 + 80 * np.stack(waves, axis=-1) + generator.normal(0, 4, (*x.shape, 3))
        names.append(f"{number:06d}.{suffix}")
        options = {"compress_level": 1} if suffix == "png" else {"quality": 92}
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / names[-1], **options)
    return ImageFrames(folder, tuple(names))


def every_window_alone(frames: ImageFrames, windows: np.ndarray) -> Iterator[torch.Tensor]:
    """As the released package: PIL, bicubic to 224 × 224, mean and standard deviation 0.5."""
    for window in windows:
        clip = []
        for position in window:
            with Image.open(frames.folder / frames.names[position], formats=("PNG", "JPEG")) as image:
                small = image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
            clip.append((torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255 - 0.5) / 0.5)
        yield torch.stack(clip)


def measure_input(count: int, peer_windows: int) -> None:
    encoder = InputSide(SurgCLIPVideoProcessor())
    for suffix in ("png", "jpg"):
        with tempfile.TemporaryDirectory() as name:
            frames = write_frames(Path(name), count, suffix)
            windows = Windows().around(range(count), count, NUM_FRAMES)
            spread = windows[np.linspace(0, count - 1, min(peer_windows, count)).astype(int)]
            for chosen in (windows[:32], spread[:2]):  # the first reads, which are slower
                list(embed_windows(encoder, frames, chosen)), list(every_window_alone(frames, chosen[:2]))
            started = time.perf_counter()
            for _ in embed_windows(encoder, frames, windows):
                pass
            here = (time.perf_counter() - started) / len(windows)
            started = time.perf_counter()
            for _ in every_window_alone(frames, spread):
                pass
            peer = (time.perf_counter() - started) / len(spread)
        print(
            f"{suffix}: {1000 * here:.1f} ms a window of {count}, every window alone {1000 * peer:.1f} ms "
            f"(of {len(spread)}): {peer / here:.1f} times as fast"
        )


def measure_ranks(size: int) -> None:
    """Retrieval ranks of `size` texts among `size` clips, of which the whole matrix would take 4 · size² bytes."""
    generator = torch.Generator().manual_seed(0)
    texts, clips = (torch.randn(size, 256, generator=generator) for _ in range(2))
    matches = torch.arange(size)[:, None].expand(-1, 2)
    started = time.perf_counter()
    match_ranks(texts, clips, matches)
    seconds = time.perf_counter() - started
    print(f"ranks of {size:,} × {size:,}: {seconds:.1f} s in parts; the whole would take {4 * size**2 / 1e9:.1f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2_000)
    parser.add_argument("--peer_windows", type=int, default=200, help="that the peer reads, spread over the video")
    parser.add_argument("--clips", type=int, default=20_000, help="of retrieval")
    arguments = parser.parse_args()
    measure_input(arguments.frames, arguments.peer_windows)
    measure_ranks(arguments.clips)


if __name__ == "__main__":
    main()
