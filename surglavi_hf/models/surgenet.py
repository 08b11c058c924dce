# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints of SurgeNet, trained as DINO's teachers: the teacher alone, or all of the training.

In norms after convolutions the authors' PVTv2 adds 1e-5 to the variance and in others 1e-6, transformers' the same in
all. A norm gives the same where its input and the root of what is added are scaled alike: so are these convolutions.
"""

import re

from transformers import ConvNextV2Config, PreTrainedTokenizerBase, PvtV2Config
from transformers.configuration_utils import PreTrainedConfig
from transformers.image_utils import PILImageResampling

from .configuration_caformer import CAFormerConfig
from .family import IMAGENET, Family, Licence, StateDict, count, renamed, without_prefix
from .image_processing_pillow import PillowImageProcessor

_AT = r"(teacher\.)?(backbone\.)?"
_EPSILON, _EPSILON_AFTER_CONVOLUTIONS = 1e-6, 1e-5
_HEAD_SIZE = 64  # of PVTv2 from b1 on
_STAGES = range(1, 5)  # as PVTv2 numbers them

_LAYER = r"encoder.stages.\1.layers.\2"
_CONVNEXT = {
    r"downsample_layers\.0\.0\.(.+)": r"embeddings.patch_embeddings.\1",
    r"downsample_layers\.0\.1\.(.+)": r"embeddings.layernorm.\1",
    r"downsample_layers\.([1-3])\.(.+)": r"encoder.stages.\1.downsampling_layer.\2",
    r"stages\.(\d)\.(\d+)\.((dwconv|pwconv[12])\..+)": rf"{_LAYER}.\3",
    r"stages\.(\d)\.(\d+)\.norm\.(.+)": rf"{_LAYER}.layernorm.\3",
    r"stages\.(\d)\.(\d+)\.grn\.gamma": f"{_LAYER}.grn.weight",
    r"stages\.(\d)\.(\d+)\.grn\.beta": f"{_LAYER}.grn.bias",
    r"norm\.(.+)": r"layernorm.\1",
}


def _pvt_names(stage: int) -> dict[str, str]:
    block, to = rf"block{stage}\.(\d+)", f"encoder.layers.{stage - 1}"
    return {
        rf"patch_embed{stage}\.proj\.(.+)": rf"{to}.patch_embedding.proj.\1",
        rf"patch_embed{stage}\.norm\.(.+)": rf"{to}.patch_embedding.layer_norm.\1",
        rf"norm{stage}\.(.+)": rf"{to}.layer_norm.\1",
        rf"{block}\.norm([12])\.(.+)": rf"{to}.blocks.\1.layer_norm_\2.\3",
        rf"{block}\.attn\.q\.(.+)": rf"{to}.blocks.\1.attention.query.\2",
        rf"{block}\.attn\.((key|value|proj)\..+)": rf"{to}.blocks.\1.attention.\2",
        rf"{block}\.attn\.sr\.(.+)": rf"{to}.blocks.\1.attention.spatial_reduction.\2",
        rf"{block}\.attn\.norm\.(.+)": rf"{to}.blocks.\1.attention.layer_norm.\2",
        rf"{block}\.mlp\.fc([12])\.(.+)": rf"{to}.blocks.\1.mlp.dense\2.\3",
        rf"{block}\.mlp\.(dwconv\.dwconv\..+)": rf"{to}.blocks.\1.mlp.\2",
    }


_PVT = {pattern: name for stage in _STAGES for pattern, name in _pvt_names(stage).items()}


def convert_convnext(weights: StateDict) -> tuple[PreTrainedConfig, StateDict]:
    """From facebookresearch's ConvNeXtV2 to transformers'."""
    weights = without_prefix(weights, _AT)
    config = ConvNextV2Config(
        hidden_sizes=[len(weights[f"stages.{stage}.0.dwconv.weight"]) for stage in range(4)],
        depths=[count(weights, rf"stages\.{stage}\.(\d+)\.") for stage in range(4)],
        layer_norm_eps=_EPSILON,
    )
    return config, {renamed(name, _CONVNEXT): tensor for name, tensor in weights.items()}


def convert_pvt(weights: StateDict) -> tuple[PreTrainedConfig, StateDict]:
    """From whai362's PVTv2 to transformers'."""
    weights = without_prefix(weights, _AT)
    widths = [len(weights[f"norm{stage}.weight"]) for stage in _STAGES]
    reductions = [weights.get(f"block{stage}.0.attn.sr.weight") for stage in _STAGES]
    config = PvtV2Config(
        hidden_sizes=widths,
        depths=[count(weights, rf"block{stage}\.(\d+)\.") for stage in _STAGES],
        num_attention_heads=[max(1, width // _HEAD_SIZE) for width in widths],
        mlp_ratios=[len(weights[f"block{stage}.0.mlp.fc1.weight"]) // widths[stage - 1] for stage in _STAGES],
        sr_ratios=[1 if weight is None else weight.shape[-1] for weight in reductions],
        layer_norm_eps=_EPSILON,
    )
    state_dict: StateDict = {}
    for name, tensor in weights.items():
        if re.fullmatch(r"(patch_embed\d\.proj|block\d\.\d+\.attn\.sr)\.(weight|bias)", name):
            tensor = tensor.float() * (_EPSILON / _EPSILON_AFTER_CONVOLUTIONS) ** 0.5
        if match := re.fullmatch(r"(block\d\.\d+\.attn\.)kv(\..+)", name):
            halves = zip(("key", "value"), tensor.chunk(2), strict=True)
            state_dict |= {renamed(f"{match[1]}{which}{match[2]}", _PVT): half for which, half in halves}
        else:
            state_dict[renamed(name, _PVT)] = tensor
    return config, state_dict


def convert_caformer(weights: StateDict) -> tuple[PreTrainedConfig, StateDict]:
    """The names stay."""
    weights = without_prefix(weights, _AT)
    widths = [len(weights[f"stages.{stage}.0.norm1.weight"]) for stage in range(4)]
    config = CAFormerConfig(
        hidden_sizes=widths,
        depths=[count(weights, rf"stages\.{stage}\.(\d+)\.") for stage in range(4)],
        mlp_ratio=len(weights["stages.0.0.mlp.fc1.weight"]) // widths[0],
    )
    return config, weights


def processor(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None) -> PillowImageProcessor:
    """The authors publish no preparation of frames; this has the size of their examples and DINO's statistics."""
    size = {"height": 256, "width": 256}
    return PillowImageProcessor(size=size, resample=PILImageResampling.BICUBIC, **IMAGENET)


_ABOUT = {
    "left_out": r"(teacher\.)?head\.(mlp|last_layer)\..+|(student|optimizer|dino_loss|fp16_scaler)\..+",
    "processor": processor,
    "tokenizer": None,
    "repository": "TimJaspers0801/SurgeNet",
    "paper": "2501.09436",
    "licence": Licence(
        "cc-by-nc-sa-4.0",
        "The authors' README: “Pretrained model weights: CC-BY-NC-SA — non-commercial share-alike. The weights and "
        "any derivative models that include these weights are NOT cleared for commercial use.” The text of the "
        "licence is [CC BY-NC-SA 4.0](https://creativecommons.org/licenses/by-nc-sa/4.0/)'s, and so are these "
        "weights.",
        "yes",
    ),
    "input": "one frame, resized to 256 × 256 pixels by Pillow's bicubic filter whatever its aspect ratio, normalised "
    "by ImageNet's statistics; the authors have not published how they prepare frames",
}
_POOLED = "`pooler_output`: the last stage's mean over the picture, normalised (LayerNorm), one vector a frame"
CAFORMER = Family(
    name="SurgeNet CAFormer",
    parts=(rf"{_AT}downsample_layers\.0\.conv\.", rf"{_AT}stages\.2\.0\.token_mixer\.qkv\."),
    convert=convert_caformer,
    output=_POOLED,
    **_ABOUT,
)
CONVNEXT = Family(
    name="SurgeNet ConvNeXtV2",
    parts=(rf"{_AT}downsample_layers\.0\.0\.", rf"{_AT}stages\.0\.0\.grn\."),
    convert=convert_convnext,
    output=_POOLED,
    **_ABOUT,
)
PVT = Family(
    name="SurgeNet PVTv2",
    parts=(rf"{_AT}patch_embed1\.proj\.", rf"{_AT}block1\.0\.attn\.kv\.", rf"{_AT}block1\.0\.mlp\.dwconv\."),
    convert=convert_pvt,
    output="`last_hidden_state` of shape `(batch_size, channels, height, width)`, whose mean over the picture is the "
    "feature, one vector a frame",
    **_ABOUT,
)
