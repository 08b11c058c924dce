# SPDX-License-Identifier: Apache-2.0
"""Small checkpoints in the names of the authors' code, of drawn weights; pictures for them."""

import re
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .conftest import WORDS, drawn

GOLDEN = Path(__file__).parent / "golden"
Shapes = Iterable[tuple[str, tuple[int, ...]]]
State = dict[str, torch.Tensor]


def pictures() -> np.ndarray:
    """Two, uint8, of shape `(2, 60, 90, 3)`: waves, and noise, which tells filters apart."""
    y, x, noise = np.arange(60)[:, None, None], np.arange(90)[:, None], np.random.Generator(np.random.PCG64(5))
    waves = [np.sin(x / (7 + 4 * n) + np.arange(3)) + np.cos(y / (5 + 6 * n)) for n in range(2)]
    return (127 + 45 * np.stack(waves) + noise.integers(-30, 30, (2, 60, 90, 3))).astype(np.uint8)


def seen(pixel_values: torch.Tensor) -> torch.Tensor:
    """What of pixel values of shape `(N, 3, H, W)` is kept: enough to tell filters, crops and statistics apart."""
    return pixel_values[:, :, 16::32, 16::32].contiguous()


def linear(name: str, outputs: int, inputs: int, *kernel: int) -> Shapes:
    yield f"{name}.weight", (outputs, inputs, *kernel)
    yield f"{name}.bias", (outputs,)


def norm(name: str, size: int) -> Shapes:
    yield from ((f"{name}.{part}", (size,)) for part in ("weight", "bias"))


def lemonfm() -> Iterator[tuple]:
    """torchvision's ConvNeXt."""
    widths, depths = (8, 12, 16, 24), (1, 1, 2, 1)
    yield from linear("features.0.0", widths[0], 3, 4, 4)
    yield from norm("features.0.1", widths[0])
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            yield from norm(f"features.{2 * stage}.0", widths[stage - 1])
            yield from linear(f"features.{2 * stage}.1", width, widths[stage - 1], 2, 2)
        for name in (f"features.{2 * stage + 1}.{number}" for number in range(depth)):
            yield f"{name}.layer_scale", (width, 1, 1)
            yield from linear(f"{name}.block.0", width, 1, 7, 7)
            yield from norm(f"{name}.block.2", width)
            yield from linear(f"{name}.block.3", 4 * width, width)
            yield from linear(f"{name}.block.5", width, 4 * width)
    yield from norm("classifier.0", widths[-1])


def vit(width: int = 128, depth: int = 2) -> Iterator[tuple]:
    """A ViT as DINO names its weights."""
    yield "cls_token", (1, 1, width)
    yield "pos_embed", (1, 197, width)
    yield from linear("patch_embed.proj", width, 3, 16, 16)
    for name in (f"blocks.{number}" for number in range(depth)):
        yield from norm(f"{name}.norm1", width)
        yield from linear(f"{name}.attn.qkv", 3 * width, width)
        yield from linear(f"{name}.attn.proj", width, width)
        yield from norm(f"{name}.norm2", width)
        yield from linear(f"{name}.mlp.fc1", 4 * width, width)
        yield from linear(f"{name}.mlp.fc2", width, 4 * width)
    yield from norm("norm", width)


def convnextv2() -> Iterator[tuple]:
    """facebookresearch's ConvNeXtV2."""
    widths, depths = (8, 12, 16, 24), (1, 2, 1, 1)
    yield from linear("downsample_layers.0.0", widths[0], 3, 4, 4)
    yield from norm("downsample_layers.0.1", widths[0])
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            yield from norm(f"downsample_layers.{stage}.0", widths[stage - 1])
            yield from linear(f"downsample_layers.{stage}.1", width, widths[stage - 1], 2, 2)
        for name in (f"stages.{stage}.{number}" for number in range(depth)):
            yield from linear(f"{name}.dwconv", width, 1, 7, 7)
            yield from norm(f"{name}.norm", width)
            yield from linear(f"{name}.pwconv1", 4 * width, width)
            yield from ((f"{name}.grn.{part}", (1, 1, 1, 4 * width)) for part in ("gamma", "beta"))
            yield from linear(f"{name}.pwconv2", width, 4 * width)
    yield from norm("norm", widths[-1])


def caformer() -> Iterator[tuple]:
    """sail-sg's MetaFormer as SurgeNet has it: heads of 32, and linear layers and most norms without biases."""
    widths, inputs = (8, 12, 32, 64), 3
    for stage, width in enumerate(widths):
        kernel = 3 if stage else 7
        yield from linear(f"downsample_layers.{stage}.conv", width, inputs, kernel, kernel)
        yield f"downsample_layers.{stage}.{'pre' if stage else 'post'}_norm.weight", (inputs if stage else width,)
        inputs, name, mixer = width, f"stages.{stage}.0", f"stages.{stage}.0.token_mixer"
        yield f"{name}.norm1.weight", (width,)
        if stage < 2:
            yield f"{mixer}.pwconv1.weight", (2 * width, width)
            yield f"{mixer}.dwconv.weight", (2 * width, 1, 7, 7)
            yield f"{mixer}.pwconv2.weight", (width, 2 * width)
        else:
            yield f"{mixer}.qkv.weight", (3 * width, width)
            yield f"{mixer}.proj.weight", (width, width)
            yield from ((f"{name}.res_scale{number}.scale", (width,)) for number in (1, 2))
        yield f"{name}.norm2.weight", (width,)
        yield f"{name}.mlp.fc1.weight", (4 * width, width)
        yield f"{name}.mlp.fc2.weight", (width, 4 * width)
    yield from norm("norm", widths[-1])


def pvtv2() -> Iterator[tuple]:
    """whai362's PVTv2, heads of 64."""
    widths, ratios, reductions = (64, 64, 128, 128), (2, 2, 1, 1), (8, 4, 2, 1)
    inputs = 3
    for stage, (width, ratio, reduction) in enumerate(zip(widths, ratios, reductions, strict=True), 1):
        kernel = 7 if stage == 1 else 3
        yield from linear(f"patch_embed{stage}.proj", width, inputs, kernel, kernel)
        yield from norm(f"patch_embed{stage}.norm", width)
        name = f"block{stage}.0"
        yield from norm(f"{name}.norm1", width)
        yield from linear(f"{name}.attn.q", width, width)
        yield from linear(f"{name}.attn.kv", 2 * width, width)
        yield from linear(f"{name}.attn.proj", width, width)
        if reduction > 1:
            yield from linear(f"{name}.attn.sr", width, width, reduction, reduction)
            yield from norm(f"{name}.attn.norm", width)
        yield from norm(f"{name}.norm2", width)
        yield from linear(f"{name}.mlp.fc1", ratio * width, width)
        yield from linear(f"{name}.mlp.dwconv.dwconv", ratio * width, 1, 3, 3)
        yield from linear(f"{name}.mlp.fc2", width, ratio * width)
        yield from norm(f"norm{stage}", width)
        inputs = width


def timesformer() -> Iterator[tuple]:
    """facebookresearch's TimeSformer, divided attention, eight frames."""
    for name, shape in vit():
        yield name, shape
        if name == "pos_embed":
            yield "time_embed", (1, 8, 128)
        if name.endswith("norm1.bias"):
            block = name.removesuffix(".norm1.bias")
            yield from norm(f"{block}.temporal_norm1", 128)
            yield from linear(f"{block}.temporal_attn.qkv", 3 * 128, 128)
            yield from linear(f"{block}.temporal_attn.proj", 128, 128)
            yield from linear(f"{block}.temporal_fc", 128, 128)


def surglime(hidden: int = 64) -> Iterator[tuple]:
    """SurgLIME as PEFT names the weights of its encoders; the ViT is as wide as the authors' class has it."""
    vision, text = "vision_encoder.base_model.model", "text_encoder.base_model.model"
    for name, shape in vit(768, 1):
        yield f"{vision}.{name.replace('qkv', 'qkv.base_layer')}", shape
    yield from adapter(f"{vision}.blocks.0.attn.qkv", 3 * 768, 768)
    for part, rows in (("word", WORDS), ("position", 96), ("token_type", 2)):
        yield f"{text}.embeddings.{part}_embeddings.weight", (rows, hidden)
    yield from norm(f"{text}.embeddings.LayerNorm", hidden)
    for name in (f"{text}.encoder.layer.{number}" for number in range(2)):
        for part in ("query", "value"):
            yield from linear(f"{name}.attention.self.{part}.base_layer", hidden, hidden)
            yield from adapter(f"{name}.attention.self.{part}", hidden, hidden)
        yield from linear(f"{name}.attention.self.key", hidden, hidden)
        yield from linear(f"{name}.attention.output.dense", hidden, hidden)
        yield from norm(f"{name}.attention.output.LayerNorm", hidden)
        yield from linear(f"{name}.intermediate.dense", 2 * hidden, hidden)
        yield from linear(f"{name}.output.dense", hidden, 2 * hidden)
        yield from norm(f"{name}.output.LayerNorm", hidden)
    yield from linear(f"{text}.pooler.dense", hidden, hidden)
    yield "logit_scale", ()
    yield from linear("temporal_pool.attention.0", 384, 768)
    yield from linear("temporal_pool.attention.2", 1, 384)
    for name, width in (("vision_proj", 768), ("text_proj", hidden)):
        yield from linear(f"{name}.0", width, width)
        yield from norm(f"{name}.1", width)
        yield from linear(f"{name}.3", 256, width)


def adapter(name: str, outputs: int, inputs: int, rank: int = 16) -> Shapes:
    yield f"{name}.lora_A.default.weight", (rank, inputs)
    yield f"{name}.lora_B.default.weight", (outputs, rank)


def with_bases(state: State) -> State:
    """As SurgLIME's training saves it: encoders are there twice, since their class has them by two names."""
    twice = {name.replace("_encoder.base_model.model.", "_base."): tensor for name, tensor in state.items()}
    return twice | state


def as_teacher(state: State) -> dict[str, Any]:
    """As DINO's training saves a backbone with its head, and what is derived of DINO."""
    head = dict(linear("head.mlp.0", 4, 4)) | {"head.last_layer.weight_g": (4, 1), "head.last_layer.weight_v": (4, 4)}
    teacher = {f"backbone.{name}": tensor for name, tensor in state.items()} | drawn(head.items(), 1)
    return {
        "student": {f"module.{name}": 2 * tensor for name, tensor in teacher.items()},
        "teacher": teacher,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": np.float64(0.1)}]},
        "epoch": 3,
        "args": Namespace(arch="small"),
        "loss": {"center": torch.zeros(1, 4)},
        "fp16_scaler": {"scale": 65536.0},
    }


def as_stitching_teacher(state: State) -> dict[str, Any]:
    """As PL-Stitch's training does; its teacher is wrapped, too."""
    content = as_teacher(state)
    content["student"]["module.backbone.masked_embed"] = torch.ones(1, 4)
    content["teacher"] = {f"module.{name}": tensor for name, tensor in content["teacher"].items()}
    content["ibot_loss"] = content.pop("loss")
    return content | {"temporal_head": {"module.x": torch.ones(2)}, "puzzle_decoder": {"module.x": torch.ones(2)}}


def as_dino(state: State) -> dict[str, Any]:
    content = as_teacher(state)
    return content | {"dino_loss": content.pop("loss")}


def pooled(outputs: Any) -> torch.Tensor:
    return outputs.pooler_output


def class_token(outputs: Any) -> torch.Tensor:
    return outputs.last_hidden_state[:, 0]


def mean_of_map(outputs: Any) -> torch.Tensor:
    return outputs.last_hidden_state.mean(dim=(2, 3))


@dataclass(frozen=True)
class Released:
    """
    Args:
        family: Its name in the project.
        shapes: Names and shapes of the authors' model.
        wrap: From its weights to what a released file holds.
        features: From the outputs of the model of transformers to what the authors take, a row a picture.
        faint: Pattern of names of weights that are made small, for what norms add to variances to be seen.
        sees_clips: Whether it takes `WINDOWS` of the pictures.
    """

    family: str
    shapes: Callable[[], Shapes]
    wrap: Callable[[State], dict[str, Any]]
    features: Callable[[Any], torch.Tensor]
    faint: str
    sees_clips: bool = False

    def state(self) -> State:
        weights = drawn(self.shapes(), 3)
        return {name: tensor / 100 if re.fullmatch(self.faint, name) else tensor for name, tensor in weights.items()}


_VIT_FAINT = r"cls_token|\w+_embed\b.*|.+\.(proj|fc2)\..+"
RELEASED = {
    "lemonfm": Released("LemonFM", lemonfm, as_teacher, pooled, r"features\.(6\.1|7\..+(layer_scale|block\.5))\b.*"),
    "plstitch": Released("PL-Stitch", vit, as_stitching_teacher, pooled, _VIT_FAINT),
    "surgenet_caformer": Released(
        "SurgeNet CAFormer", caformer, as_dino, pooled, r"downsample_layers\.\d\.conv\..+|.+\.(proj|pwconv2|fc2)\..+"
    ),
    "surgenet_convnextv2": Released(
        "SurgeNet ConvNeXtV2", convnextv2, as_dino, pooled, r"(downsample_layers\.3\.1|stages\.3\..+pwconv2)\..+"
    ),
    "surgenet_pvtv2": Released(
        "SurgeNet PVTv2", pvtv2, as_dino, mean_of_map, r"patch_embed\d\..+|.+\.(sr|proj|fc2)\..+"
    ),
    "endofm": Released("Endo-FM", timesformer, as_dino, class_token, rf"{_VIT_FAINT}|.+\.temporal_fc\..+", True),
}
# Eight frames of two pictures, and texts of three lengths.
WINDOWS = torch.tensor([[0, 0, 0, 1, 0, 1, 1, 1], [1, 0, 1, 1, 1, 1, 1, 1]])
LENGTHS = torch.tensor([12, 7, 3])
TEXTS = {
    "input_ids": (torch.arange(36) * 7 % WORDS).reshape(3, 12),
    "attention_mask": (torch.arange(12) < LENGTHS[:, None]).long(),
}
SURGLIME = Released(
    "SurgLIME", surglime, with_bases, pooled, rf".*\.({_VIT_FAINT})|.+_embeddings\..+|(vision|text)_proj\.0\..+"
)
