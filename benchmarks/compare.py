# SPDX-License-Identifier: Apache-2.0
"""The input side of a comparison of four models, against four evaluations one after another: frames of files, decoded
and preprocessed for every model, up to where the models begin.

SurgVLP, HecVL and PeskaVLP take frames alike, and models of one input share all that is done to frames. Models that
take them otherwise share the decoding alone, which is measured, too.

python benchmarks/compare.py
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from evaluation import write_frames

from surglavi_hf import SurgCLIPVideoProcessor
from surglavi_hf.evaluation import VideoEncoder, Windows
from surglavi_hf.evaluation.frame_source import ImageFrames
from surglavi_hf.evaluation.video_encoder import settings_of
from surglavi_hf.evaluation.window_embeddings import WindowStream, embed_windows, read_frames
from surglavi_hf.models import PillowImageProcessor

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SQUARE = {"height": 224, "width": 224}
CROPPED = {"do_center_crop": True, "crop_size": SQUARE}


class InputSide(VideoEncoder):
    """Stops where the model would begin."""

    def __init__(self, processor, num_frames: int):
        super().__init__(None, processor)
        self._num_frames = num_frames

    @property
    def num_frames(self) -> int:
        return self._num_frames

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        if isinstance(self.processor, SurgCLIPVideoProcessor):
            return self.processor([frames], do_sample_frames=False)["pixel_values"][0]
        return self.processor(list(frames), return_tensors="pt")["pixel_values"]

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"projected": frames[windows][:, :, 0, 0, 0]}

    def embed_texts(self, texts):
        raise NotImplementedError

    def frame_protocol(self) -> dict[str, str]:
        return {"frame_preprocessing": settings_of(self.processor)}


def surgvlp() -> InputSide:
    size = {"height": 360, "width": 640}
    return InputSide(PillowImageProcessor(size=size, resample=2, **CROPPED, **IMAGENET), 1)


def of_one_input() -> dict[str, InputSide]:
    return {"SurgVLP": surgvlp(), "HecVL": surgvlp(), "PeskaVLP": surgvlp(), "a fourth of them": surgvlp()}


def of_the_published_table() -> dict[str, InputSide]:
    surgclip = InputSide(SurgCLIPVideoProcessor(), 16)
    return {"SurgCLIP": surgclip, "SurgVLP": surgvlp(), "HecVL": surgvlp(), "PeskaVLP": surgvlp()}


def of_four_inputs() -> dict[str, InputSide]:
    siglip = PillowImageProcessor(
        size={"height": 448, "width": 448}, resample=3, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    clip = PillowImageProcessor(size={"shortest_edge": 224}, resample=3, **CROPPED, **IMAGENET)
    return {
        "SurgCLIP": InputSide(SurgCLIPVideoProcessor(), 16),
        "SurgVLP": surgvlp(),
        "CLIP": InputSide(clip, 16),
        "MedSigLIP": InputSide(siglip, 16),
    }


def one_after_another(encoders: Mapping[str, InputSide], frames: ImageFrames) -> float:
    started = time.perf_counter()
    for encoder in encoders.values():
        windows = Windows().around(range(len(frames)), len(frames), encoder.num_frames)
        for _ in embed_windows(encoder, frames, windows):
            pass
    return time.perf_counter() - started


def together(encoders: Mapping[str, InputSide], frames: ImageFrames) -> float:
    started = time.perf_counter()
    streams = [
        WindowStream(encoder, Windows().around(range(len(frames)), len(frames), encoder.num_frames), 32)
        for encoder in encoders.values()
    ]
    for _, inputs in read_frames(frames, streams):
        for stream, rows in zip(streams, inputs, strict=True):
            for _ in stream.push(rows):
                pass
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.frames} frames of 854 × 480, one thread; ms a frame for four models, best of {options.repeats}")
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("png", "jpg"):
            place = Path(folder) / suffix
            place.mkdir()
            frames = write_frames(place, options.frames, suffix)
            for name, made in (
                ("models of one input", of_one_input),
                ("SurgCLIP and the three of SurgVLP", of_the_published_table),
                ("models of four inputs", of_four_inputs),
            ):
                encoders = made()
                apart = min(one_after_another(encoders, frames) for _ in range(options.repeats))
                shared = min(together(encoders, frames) for _ in range(options.repeats))
                each = [1000 * seconds / options.frames for seconds in (apart, shared)]
                print(
                    f"{suffix}, {name}: one after another {each[0]:.1f}, together {each[1]:.1f}: "
                    f"{apart / shared:.2f} times as fast"
                )


if __name__ == "__main__":
    main()
