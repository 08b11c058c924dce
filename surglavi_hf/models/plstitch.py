# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints of PL-Stitch: a ViT, trained as iBOT's teacher.

The README's example gives the model bytes that are not normalised, channels last, which it cannot take. Training
(`pl_stitch/loader.py`), the downstream code and SurgLIME, which is built on it, all normalise, and so it is done here.
"""

import math
import re

import torch
from transformers import PreTrainedTokenizerBase, ViTConfig
from transformers.configuration_utils import PreTrainedConfig
from transformers.image_utils import PILImageResampling

from .family import IMAGENET, Family, Licence, StateDict, count, renamed, without_prefix
from .image_processing_pillow import PillowImageProcessor

_AT = r"teacher\.(backbone\.)?"  # the authors' loader takes both
_HEAD_SIZE = 64  # of ViT in all its sizes

_LAYER = r"layers.\1"
_NAMES = {
    r"cls_token": "embeddings.cls_token",
    r"pos_embed": "embeddings.position_embeddings",
    r"patch_embed\.proj\.(.+)": r"embeddings.patch_embeddings.projection.\1",
    r"norm\.(.+)": r"layernorm.\1",
    r"blocks\.(\d+)\.norm1\.(.+)": rf"{_LAYER}.layernorm_before.\2",
    r"blocks\.(\d+)\.norm2\.(.+)": rf"{_LAYER}.layernorm_after.\2",
    r"blocks\.(\d+)\.attn\.([qkv])\.(.+)": rf"{_LAYER}.attention.\2_proj.\3",
    r"blocks\.(\d+)\.attn\.proj\.(.+)": rf"{_LAYER}.attention.o_proj.\2",
    r"blocks\.(\d+)\.(mlp\.fc[12]\..+)": rf"{_LAYER}.\2",
}


def convert_vit(weights: StateDict) -> tuple[ViTConfig, StateDict]:
    """From a ViT as DINO and what is derived of it name its weights to transformers', without its pooling layer."""
    width, _, patch_size, _ = weights["patch_embed.proj.weight"].shape
    config = ViTConfig(
        hidden_size=width,
        num_hidden_layers=count(weights, r"blocks\.(\d+)\."),
        num_attention_heads=max(1, width // _HEAD_SIZE),
        intermediate_size=len(weights["blocks.0.mlp.fc1.weight"]),
        layer_norm_eps=1e-6,
        image_size=patch_size * math.isqrt(weights["pos_embed"].shape[1] - 1),
        patch_size=patch_size,
    )
    apart: StateDict = {}
    for name, tensor in weights.items():
        if match := re.fullmatch(r"(blocks\.\d+\.attn\.)qkv(\..+)", name):
            thirds = zip("qkv", tensor.chunk(3), strict=True)
            apart |= {f"{match[1]}{which}{match[2]}": third for which, third in thirds}
        else:
            apart[name] = tensor
    return config, {renamed(name, _NAMES): tensor for name, tensor in apart.items()}


def convert(weights: StateDict) -> tuple[PreTrainedConfig, StateDict]:
    """To a ViT of transformers, whose pooling layer is made to give the class token as it is."""
    config, state_dict = convert_vit(without_prefix(weights, _AT))
    config.pooler_act = "linear"
    pooler = {"weight": torch.eye(config.hidden_size), "bias": torch.zeros(config.hidden_size)}
    return config, state_dict | {f"pooler.dense.{part}": tensor for part, tensor in pooler.items()}


def processor(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None) -> PillowImageProcessor:
    """As `pl_stitch/loader.py` prepares frames, without what it changes at random."""
    size = {"height": config.image_size, "width": config.image_size}
    return PillowImageProcessor(size=size, resample=PILImageResampling.BILINEAR, **IMAGENET)


_PARTS = ("cls_token", "pos_embed", r"patch_embed\.", r"blocks\.0\.attn\.qkv\.", r"norm\.")
_NOT_TEACHER = "student|temporal_head|puzzle_decoder|optimizer|ibot_loss|fp16_scaler"

FAMILY = Family(
    name="PL-Stitch",
    parts=tuple(f"{_AT}{part}" for part in _PARTS),
    left_out=rf"{_AT}(head\..+|masked_embed)|({_NOT_TEACHER})\..+",
    convert=convert,
    processor=processor,
    tokenizer=None,
    repository="visurg-ai/PL-Stitch",
    paper="2511.17805",
    licence=Licence(
        "mit",
        "The authors' repository has a LICENSE: “MIT License. Copyright (c) 2025 Chengan Che”. It says nothing of the "
        "weights apart.",
        "yes",
    ),
    input="one frame, resized to 224 × 224 pixels by Pillow's bilinear filter whatever its aspect ratio, normalised "
    "by ImageNet's statistics, as in the authors' training; the example of their README does not normalise",
    output="`pooler_output`, which is the class token of `last_hidden_state`, after the last LayerNorm: one vector a "
    "frame",
    absent=rf"{_AT}(time_embed|blocks\.\d+\.temporal_)",  # of Endo-FM's
)
