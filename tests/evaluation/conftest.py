# SPDX-License-Identifier: Apache-2.0
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    MetaClip2Config,
    MetaClip2Model,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    Siglip2Processor,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
)

from surglavi_hf import VideoClip
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.evaluation import VideoEncoder
from surglavi_hf.evaluation.encoders import ClipEncoder
from surglavi_hf.training.start import new_tiny_model

from .native_files import SECONDS, VIDEOS

SPANS = [(1.0, 2.0), (0.0, 1.0), (1.2, 1.8), (2.0, 3.0)]  # s


class Oracle(VideoEncoder):
    """Embeds a clip that shows frame n, and the text "n", as the same unit vector: right by construction."""

    num_frames = 3

    def __init__(self):
        super().__init__(torch.nn.Dropout())  # which has a mode
        self.shapes = []

    def preprocess(self, frames):
        return frames.float().mean(dim=(1, 2, 3))

    def embed_windows(self, frames, windows):
        self.shapes.append(tuple(windows.shape))
        number = (frames[windows].mean(dim=1) / 8).round().long()  # what `write_video` writes
        return {"projected": torch.eye(5)[number]}

    def embed_texts(self, texts):
        return torch.eye(5)[[int(text) for text in texts]]


@pytest.fixture
def oracle():
    return Oracle()


class Stopping(ClipEncoder):
    """A SurgCLIP that notes its forward passes, and is interrupted after so many."""

    def __init__(self, model, processor, after=None):
        super().__init__(model, processor)
        self._passes, self._after = [], after

    @property
    def passes(self):
        return self._passes

    def describe(self):
        return ClipEncoder(self.model, self.processor).describe()

    def embed_windows(self, frames, windows):
        if len(self._passes) == self._after:
            raise KeyboardInterrupt
        self._passes.append(len(windows))
        return super().embed_windows(frames, windows)


@pytest.fixture
def stopping():
    return Stopping


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


def new_image_model(kind, surgclip_tokenizer):
    """
    A CLIP, MetaCLIP 2, SigLIP, MedSigLIP (a SigLIP of large images) or SigLIP 2 of native aspect ratio, of random
    weights, as transformers makes them.
    """
    torch.manual_seed(0)
    tokens = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "[SEP]", "bos_token": "[CLS]"}
    backend = surgclip_tokenizer.backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=24, **tokens)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**sizes, "image_size": 32, "patch_size": 16}
    text = {**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": 24}
    text |= {"eos_token_id": 3, "pad_token_id": 0, "bos_token_id": 2}
    size = {"height": 32, "width": 32}
    if kind in ("clip", "metaclip_2"):
        config, new = (CLIPConfig, CLIPModel) if kind == "clip" else (MetaClip2Config, MetaClip2Model)
        model = new(config(text_config=text, vision_config=vision, projection_dim=16))
        images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size)
        return model.eval(), CLIPProcessor(images, tokenizer)
    text["projection_size"] = 32
    if kind in ("siglip", "medsiglip"):
        if kind == "medsiglip":
            vision |= {"image_size": 448, "patch_size": 14}
            size = {"height": 448, "width": 448}
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        return model.eval(), SiglipProcessor(SiglipImageProcessorPil(size=size), tokenizer)
    vision = {**sizes, "patch_size": 16, "num_patches": 16}
    model = Siglip2Model(Siglip2Config(text_config=text, vision_config=vision))
    images = Siglip2ImageProcessorPil(patch_size=16, max_num_patches=12)
    return model.eval(), Siglip2Processor(images, tokenizer)


@pytest.fixture(scope="session", params=["clip", "metaclip_2", "siglip", "siglip2"])
def image_model(request, tiny_model):
    return new_image_model(request.param, tiny_model[1].tokenizer)


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
