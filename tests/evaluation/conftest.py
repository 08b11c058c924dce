# SPDX-License-Identifier: Apache-2.0
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset, Features, Value
from transformers import BatchFeature

from surglavi_hf import VideoClip

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
