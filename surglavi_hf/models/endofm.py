# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints of Endo-FM: a TimeSformer of clips, trained as DINO's teacher.

The authors' evaluation means to resize to 256 pixels and crop the middle, but its config, which is changed after the
data set is made, has it resize to 224 and crop the left end. Here it is 224 pixels and the middle.
"""

import math

from transformers import PreTrainedTokenizerBase, TimesformerConfig
from transformers.configuration_utils import PreTrainedConfig

from .family import Family, Licence, StateDict, count, renamed, without_prefix
from .image_processing_bilinear import BilinearImageProcessor

_AT = r"teacher\.backbone\."
_HEAD_SIZE = 64  # of ViT in all its sizes

_BLOCK, _LAYER = r"blocks\.(\d+)", r"encoder.layer.\1"
_NAMES = {
    r"cls_token": "embeddings.cls_token",
    r"pos_embed": "embeddings.position_embeddings",
    r"time_embed": "embeddings.time_embeddings",
    r"patch_embed\.proj\.(.+)": r"embeddings.patch_embeddings.projection.\1",
    r"norm\.(.+)": r"layernorm.\1",
    rf"{_BLOCK}\.norm1\.(.+)": rf"{_LAYER}.layernorm_before.\2",
    rf"{_BLOCK}\.norm2\.(.+)": rf"{_LAYER}.layernorm_after.\2",
    rf"{_BLOCK}\.temporal_norm1\.(.+)": rf"{_LAYER}.temporal_layernorm.\2",
    rf"{_BLOCK}\.(temporal_)?attn\.qkv\.(.+)": rf"{_LAYER}.\2attention.attention.qkv.\3",
    rf"{_BLOCK}\.(temporal_)?attn\.proj\.(.+)": rf"{_LAYER}.\2attention.output.dense.\3",
    rf"{_BLOCK}\.temporal_fc\.(.+)": rf"{_LAYER}.temporal_dense.\2",
    rf"{_BLOCK}\.mlp\.fc1\.(.+)": rf"{_LAYER}.intermediate.dense.\2",
    rf"{_BLOCK}\.mlp\.fc2\.(.+)": rf"{_LAYER}.output.dense.\2",
}


def convert(weights: StateDict) -> tuple[PreTrainedConfig, StateDict]:
    """From the TimeSformer of facebookresearch to transformers'."""
    weights = without_prefix(weights, _AT)
    width, _, patch_size, _ = weights["patch_embed.proj.weight"].shape
    config = TimesformerConfig(
        hidden_size=width,
        num_hidden_layers=count(weights, r"blocks\.(\d+)\."),
        num_attention_heads=max(1, width // _HEAD_SIZE),
        intermediate_size=len(weights["blocks.0.mlp.fc1.weight"]),
        num_frames=weights["time_embed"].shape[1],
        image_size=patch_size * math.isqrt(weights["pos_embed"].shape[1] - 1),
        patch_size=patch_size,
        layer_norm_eps=1e-6,
    )
    return config, {renamed(name, _NAMES): tensor for name, tensor in weights.items()}


def processor(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None) -> BilinearImageProcessor:
    """As `datasets/ucf101.py` prepares frames, but for where they are cropped."""
    crop = {"height": config.image_size, "width": config.image_size}
    size = {"shortest_edge": config.image_size}
    return BilinearImageProcessor(size=size, crop_size=crop, image_mean=[0.45] * 3, image_std=[0.225] * 3)


FAMILY = Family(
    name="Endo-FM",
    parts=(f"{_AT}time_embed", rf"{_AT}blocks\.0\.temporal_attn\.", rf"{_AT}blocks\.0\.temporal_fc\."),
    left_out=r"teacher\.head\..+|(student|optimizer|dino_loss|fp16_scaler)\..+",
    convert=convert,
    processor=processor,
    tokenizer=None,
    repository="med-air/Endo-FM",
    paper="2306.16741",
    licence=Licence(
        "apache-2.0",
        "The authors' README: “This project is under the Apache License 2.0 license.” It says nothing of the weights "
        "apart.",
        "yes",
    ),
    input="eight frames of a clip, no more and no fewer, each resized by torch's bilinear filter without antialiasing "
    "to 224 pixels of its shorter side, of which the middle 224 × 224, less 0.45 and divided by 0.225",
    output="the first token of `last_hidden_state`, after the last LayerNorm: one vector a clip",
)
