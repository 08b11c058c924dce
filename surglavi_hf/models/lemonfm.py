# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of LemonFM: torchvision's ConvNeXt, trained as DINO's teacher."""

from transformers import ConvNextConfig, PreTrainedTokenizerBase
from transformers.configuration_utils import PreTrainedConfig
from transformers.image_utils import PILImageResampling

from .family import IMAGENET, Family, Licence, StateDict, count, renamed
from .image_processing_pillow import PillowImageProcessor

_AT = r"teacher\.backbone\."
_STAGES = range(4)
_LAYERS = {0: "dwconv", 2: "layernorm", 3: "pwconv1", 5: "pwconv2"}  # by their places in torchvision's blocks


def _names(stage: int) -> dict[str, str]:
    """Of a stage, and of what makes pictures smaller before it, which torchvision has among its stages."""
    block, layer = rf"{_AT}features\.{2 * stage + 1}\.(\d+)", rf"encoder.stages.{stage}.layers.\1"
    return {
        rf"{_AT}features\.{2 * stage}\.(.+)": rf"encoder.stages.{stage}.downsampling_layer.\1",
        rf"{block}\.layer_scale": f"{layer}.layer_scale_parameter",
        **{rf"{block}\.block\.{place}\.(.+)": rf"{layer}.{name}.\2" for place, name in _LAYERS.items()},
    }


_NAMES = {
    rf"{_AT}features\.0\.0\.(.+)": r"embeddings.patch_embeddings.\1",
    rf"{_AT}features\.0\.1\.(.+)": r"embeddings.layernorm.\1",
    rf"{_AT}classifier\.0\.(.+)": r"layernorm.\1",
}
for _stage in _STAGES:
    _NAMES |= _names(_stage)


def convert(weights: StateDict) -> tuple[PreTrainedConfig, StateDict]:
    """From torchvision's ConvNeXt to transformers'."""
    config = ConvNextConfig(
        hidden_sizes=[len(weights[f"teacher.backbone.features.{2 * stage + 1}.0.layer_scale"]) for stage in _STAGES],
        depths=[count(weights, rf"{_AT}features\.{2 * stage + 1}\.(\d+)\.") for stage in _STAGES],
        layer_norm_eps=1e-6,
    )
    flat = {name: tensor.flatten() if name.endswith("layer_scale") else tensor for name, tensor in weights.items()}
    return config, {renamed(name, _NAMES): tensor for name, tensor in flat.items()}


def processor(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None) -> PillowImageProcessor:
    """As `downstream/dataloader_cholecT50.py` prepares frames."""
    size = {"height": 224, "width": 224}
    return PillowImageProcessor(size=size, resample=PILImageResampling.BICUBIC, **IMAGENET)


FAMILY = Family(
    name="LemonFM",
    parts=(rf"{_AT}features\.0\.0\.", rf"{_AT}features\.1\.0\.layer_scale", rf"{_AT}classifier\.0\."),
    left_out=r"teacher\.head\..+|(student|optimizer|loss|fp16_scaler)\..+",
    convert=convert,
    processor=processor,
    tokenizer=None,
    repository="visurg-ai/LEMON",
    paper="2503.19740",
    licence=Licence(
        "unknown",
        "The authors have published no licence of the weights. Their README speaks of the data alone: “We publicly "
        "release the dataset metadata, the list of original YouTube video IDs, and our corresponding annotations "
        "under the [Creative Commons Attribution 4.0 International (CC BY 4.0) "
        "license](https://creativecommons.org/licenses/by/4.0/).” So the converted weights are for those who made "
        "them and may not be given on.",
        "no",
    ),
    input="one frame, resized to 224 × 224 pixels by Pillow's bicubic filter whatever its aspect ratio, normalised by "
    "ImageNet's statistics; so the authors prepare CholecT50's, and in pre-training. For phases and tools they resize "
    "by OpenCV's linear filter",
    output="`pooler_output`: the last stage's mean over the picture, normalised (LayerNorm), one vector a frame",
)
