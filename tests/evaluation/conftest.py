# SPDX-License-Identifier: Apache-2.0
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value
from transformers import BatchFeature

from surglavi_hf import VideoClip
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.training.start import new_tiny_model

from .native_files import SECONDS, VIDEOS

SPANS = [(1.0, 2.0), (0.0, 1.0), (1.2, 1.8), (2.0, 3.0)]  # s


class Oracle(torch.nn.Module):
    """Embeds a clip that shows frame n, and the text "n", as the same unit vector: right by construction."""

    device = torch.device("cpu")

    def get_video_features(self, pixel_values):
        number = (pixel_values.mean(dim=(1, 2, 3, 4)) / 8).round().long()  # what `write_video` writes
        return SimpleNamespace(pooler_output=torch.eye(5)[number])

    def get_text_features(self, input_ids):
        return SimpleNamespace(pooler_output=torch.eye(5)[input_ids[:, 0]])


class Processor:
    video_processor = SimpleNamespace(num_frames=3)

    def __call__(self, videos=None, text=None, return_tensors="pt"):
        inputs = {}
        if videos is not None:
            inputs["pixel_values"] = torch.stack(videos).float()
        if text is not None:
            inputs["input_ids"] = torch.tensor([[int(word)] for word in text])
        return BatchFeature(inputs)


@pytest.fixture
def oracle():
    return Oracle()


@pytest.fixture
def processor():
    return Processor()


@pytest.fixture
def clips(tmp_path, write_video) -> Dataset:
    """Four clips of a real video, in which frame n is shown from second n on; captions 1, 0, 1 and, wrongly, 3."""
    write_video(tmp_path / "videos" / "v" / "v.mp4", [0.0, 1.0, 2.0, 3.0])
    rows = [
        {
            "caption_id": number,
            "video_id": 1,
            "level": 0,
            "video_name": "v",
            "start_time": start,
            "end_time": end,
            "caption": caption,
            "clip": {"video_name": "v", "start_time": start, "end_time": end},
        }
        for number, ((start, end), caption) in enumerate(zip(SPANS, ["1", "0", "1", "3"], strict=True))
    ]
    kinds = {"video_name": "string", "caption": "string", "start_time": "float64", "end_time": "float64"}
    features = {name: Value(kinds.get(name, "int64")) for name in rows[0]} | {"clip": VideoClip(str(tmp_path))}
    return Dataset.from_list(rows, features=Features(features))


@pytest.fixture(scope="session")
def tiny_model():
    """A SurgCLIP of random weights that tells the frames of `drawn` apart."""
    torch.manual_seed(0)
    model, processor = new_tiny_model(PROMPTS["task"], num_frames=4)
    return model.eval(), processor


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> dict[str, Path]:
    """For each benchmark a video with pictures that differ at the times of its frames."""
    folder = tmp_path_factory.mktemp("drawn")
    rates = {"one": 1.0, "ten": 0.1}
    for name, seconds in rates.items():
        write_pictures(folder / f"{name}.mp4", [place * seconds for place in range(SECONDS + 2)])
    return {name: folder / ("ten.mp4" if name == "sar_rarp50" else "one.mp4") for name in VIDEOS}


def write_pictures(path: Path, times: list[float]) -> None:
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "10"}
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            picture = generator.integers(0, 256, (4, 4, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
