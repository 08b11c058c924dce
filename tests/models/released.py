# SPDX-License-Identifier: Apache-2.0
"""Small checkpoints in the names of the authors' code, of drawn weights; pictures for them."""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .conftest import drawn

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


def pooled(outputs: Any) -> torch.Tensor:
    return outputs.pooler_output


@dataclass(frozen=True)
class Released:
    """
    Args:
        family: Its name in the project.
        shapes: Names and shapes of the authors' model.
        wrap: From its weights to what a released file holds.
        features: From the outputs of the model of transformers to what the authors take, a row a picture.
    """

    family: str
    shapes: Callable[[], Shapes]
    wrap: Callable[[State], dict[str, Any]]
    features: Callable[[Any], torch.Tensor]

    def state(self) -> State:
        return drawn(self.shapes(), 3)


RELEASED = {
    "lemonfm": Released("LemonFM", lemonfm, as_teacher, pooled),
    "plstitch": Released("PL-Stitch", vit, as_stitching_teacher, pooled),
}
