# SPDX-License-Identifier: Apache-2.0
"""Writes tests/models/golden/NAME.safetensors: what the authors' own code makes of drawn weights and pictures.

    pip install torchvision timm einops
    python -m tests.models.make_golden NAME FOLDER

FOLDER is where the authors' model is imported from: see the function of that name. Their data loaders need much more,
so their few lines that prepare a picture are written down here; torchvision's Resize of a picture is Pillow's.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from .released import GOLDEN, RELEASED, pictures, seen

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Made = tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor], torch.Tensor]


def squashed(size: int, resample: Image.Resampling) -> torch.Tensor:
    """Resize((size, size)), ToTensor, Normalize, of shape `(2, 3, size, size)`."""
    resized = [np.asarray(Image.fromarray(each).resize((size, size), resample)) for each in pictures()]
    values = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(_MEAN).view(3, 1, 1)) / torch.tensor(_STD).view(3, 1, 1)


def lemonfm() -> Made:
    """Its model is torchvision's; FOLDER is of https://github.com/pytorch/vision, or . where it is installed."""
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    sizes = [CNBlockConfig(8, 12, 1), CNBlockConfig(12, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 1)]
    model = ConvNeXt(sizes)
    model.classifier[2] = nn.Identity()  # as in src/model_loader.py of https://github.com/visurg-ai/LEMON
    return model, model, squashed(224, Image.Resampling.BICUBIC)  # downstream/dataloader_cholecT50.py


def plstitch() -> Made:
    """FOLDER is pl_stitch of https://github.com/visurg-ai/PL-Stitch."""
    from models.vision_transformer import VisionTransformer

    model = VisionTransformer(patch_size=16, embed_dim=128, depth=2, num_heads=2, mlp_ratio=4, qkv_bias=True)
    return model, model, squashed(224, Image.Resampling.BILINEAR)  # pl_stitch/loader.py


def surgenet_convnextv2() -> Made:
    """FOLDER is of https://github.com/TimJaspers0801/SurgeNet. Its authors say nothing of how frames are prepared."""
    from convnextv2 import ConvNeXtV2

    model = ConvNeXtV2(depths=[1, 2, 1, 1], dims=[8, 12, 16, 24])
    model.head = nn.Identity()
    return model, model, squashed(256, Image.Resampling.BICUBIC)


def surgenet_pvtv2() -> Made:
    from pvtv2 import PyramidVisionTransformerV2

    sizes = {"embed_dims": [64, 64, 128, 128], "num_heads": [1, 1, 2, 2], "mlp_ratios": [2, 2, 1, 1]}
    layer_norm = partial(nn.LayerNorm, eps=1e-6)  # as pvt_v2_b2 has it
    model = PyramidVisionTransformerV2(
        **sizes, depths=[1] * 4, sr_ratios=[8, 4, 2, 1], qkv_bias=True, norm_layer=layer_norm
    )
    model.head = nn.Identity()
    return model, model, squashed(256, Image.Resampling.BICUBIC)


def main(name: str, folder: Path) -> None:
    sys.path.insert(0, str(folder))
    model, features, pixel_values = globals()[name]()
    model.load_state_dict(RELEASED[name].state())
    with torch.no_grad():
        model.eval()
        found = {"features": features(pixel_values), "pixels": seen(pixel_values)}
    GOLDEN.mkdir(exist_ok=True)
    save_file({key: value.contiguous() for key, value in found.items()}, GOLDEN / f"{name}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
