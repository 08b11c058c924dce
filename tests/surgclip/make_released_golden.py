# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/golden/surgclip_released.safetensors: outputs of the released video encoder itself.

    pip install --no-deps surgclip==0.1.0 && pip install einops
    python -m tests.surgclip.make_released_golden

The package's `__init__` fails with transformers 5; its video encoder needs none of it and is imported alone.
"""

import importlib
import sys
from importlib.metadata import distribution
from types import ModuleType

import torch
from safetensors.torch import save_file

from ..conftest import GOLDEN

SHAPES = {
    "divided_space_time": [(2, 1, 32, 32), (2, 7, 32, 32), (1, 3, 48, 24), (1, 2, 16, 64), (2, 3, 40, 40)],
    "space_only": [(2, 5, 32, 32), (1, 2, 48, 24)],
}


def pixels(shape: tuple[int, int, int, int]) -> torch.Tensor:
    """Clips of shape `(batch_size, num_frames, 3, height, width)` that need not be stored."""
    batch_size, num_frames, height, width = shape
    count = batch_size * num_frames * 3 * height * width
    return torch.sin(torch.arange(count) * 0.37).reshape(batch_size, num_frames, 3, height, width)


def case(attention_type: str, shape: tuple[int, int, int, int]) -> str:
    return f"{attention_type}.{'x'.join(map(str, shape))}"


def main() -> None:
    package = ModuleType("released")
    package.__path__ = [str(distribution("surgclip").locate_file("surgclip/models/timesformer"))]
    sys.modules["released"] = package
    encoder_class = importlib.import_module("released.timesformer").TimeSformer
    weights = torch.load(GOLDEN / "surgclip_tiny.pth", weights_only=True)
    prefix = "vision_encoder."
    weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    sizes = {"img_size": 32, "patch_size": 8, "num_frames": 4, "embed_dim": 48, "depth": 3, "num_heads": 4}
    outputs = {}
    for attention_type, shapes in SHAPES.items():
        encoder = encoder_class(num_classes=0, qkv_bias=True, attention_type=attention_type, **sizes).eval()
        encoder.load_state_dict(weights, strict=attention_type == "divided_space_time")
        for shape in shapes:
            with torch.no_grad():
                tokens, pooled = encoder(pixels(shape).transpose(1, 2))
            outputs[f"{case(attention_type, shape)}.last_hidden_state"] = tokens.contiguous()
            outputs[f"{case(attention_type, shape)}.pooled"] = pooled
    save_file(outputs, GOLDEN / "surgclip_released.safetensors")


if __name__ == "__main__":
    main()
