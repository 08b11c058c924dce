# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of SurgVLP, HecVL and PeskaVLP."""

import re

from transformers import PreTrainedTokenizerBase, ResNetConfig
from transformers.configuration_utils import PreTrainedConfig
from transformers.image_utils import PILImageResampling

from .configuration_surgvlp import SurgVLPConfig
from .family import IMAGENET, Family, Licence, StateDict, bert_config, count, renamed
from .image_processing_pillow import PillowImageProcessor
from .processing_surgvlp import SurgVLPProcessor

_IMAGE, _TEXT = "backbone_img.model.", "backbone_text.model."

_RESNET = r"vision_model.encoder.stages.\1.layers.\2"  # whose stages count from 0
_NAMES = {
    r"backbone_img\.model\.conv1\.(.+)": r"vision_model.embedder.embedder.convolution.\1",
    r"backbone_img\.model\.bn1\.(.+)": r"vision_model.embedder.embedder.normalization.\1",
    r"backbone_img\.model\.stage(\d)\.(\d+)\.conv(\d)\.(.+)": rf"{_RESNET}.layer.\3.convolution.\4",
    r"backbone_img\.model\.stage(\d)\.(\d+)\.bn(\d)\.(.+)": rf"{_RESNET}.layer.\3.normalization.\4",
    r"backbone_img\.model\.stage(\d)\.(\d+)\.downsample\.0\.(.+)": rf"{_RESNET}.shortcut.convolution.\3",
    r"backbone_img\.model\.stage(\d)\.(\d+)\.downsample\.1\.(.+)": rf"{_RESNET}.shortcut.normalization.\3",
    r"backbone_img\.global_embedder\.(.+)": r"visual_projection.\1",
    r"backbone_text\.model\.(.+)": r"text_model.\1",
}


def convert(weights: StateDict) -> tuple[PreTrainedConfig, StateDict]:
    """From torchvision's ResNet and BERT to their like in transformers."""
    stages = range(1, 1 + count(weights, rf"{re.escape(_IMAGE)}layer(\d+)\."))
    depths = [count(weights, rf"{re.escape(_IMAGE)}layer{stage}\.(\d+)\.") for stage in stages]
    config = SurgVLPConfig(
        vision_config=ResNetConfig(
            embedding_size=len(weights[f"{_IMAGE}conv1.weight"]),
            hidden_sizes=[len(weights[f"{_IMAGE}layer{stage}.0.conv3.weight"]) for stage in stages],
            depths=depths,
        ),
        text_config=bert_config(weights, _TEXT),
    )
    return config, {renamed(_from_zero(name), _NAMES): tensor for name, tensor in weights.items()}


def _from_zero(name: str) -> str:
    """torchvision numbers stages, convolutions and norms from 1."""
    if match := re.fullmatch(r"(backbone_img\.model\.)layer(\d+)\.(\d+)\.(conv|bn)(\d)\.(.+)", name):
        return f"{match[1]}stage{int(match[2]) - 1}.{match[3]}.{match[4]}{int(match[5]) - 1}.{match[6]}"
    if match := re.fullmatch(r"(backbone_img\.model\.)layer(\d+)\.(\d+)\.(downsample\..+)", name):
        return f"{match[1]}stage{int(match[2]) - 1}.{match[3]}.{match[4]}"
    return name


def processor(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None) -> SurgVLPProcessor:
    """As `surgvlp.load` and `surgvlp.tokenize` prepare frames and texts."""
    tokenizer.model_max_length = config.max_text_length
    image_processor = PillowImageProcessor(
        size={"height": 360, "width": 640},
        resample=PILImageResampling.BILINEAR,
        do_center_crop=True,
        crop_size={"height": 224, "width": 224},
        **IMAGENET,
    )
    return SurgVLPProcessor(image_processor, tokenizer)


FAMILY = Family(
    name="SurgVLP, HecVL or PeskaVLP",
    parts=(r"backbone_img\.model\.", r"backbone_img\.global_embedder\.", r"backbone_text\.model\."),
    left_out=r"backbone_text\.model\.(embeddings\.position_ids|pooler\..+)",
    convert=convert,
    processor=processor,
    tokenizer="emilyalsentzer/Bio_ClinicalBERT",
    repository="CAMMA-public/SurgVLP",
    paper="2307.15220",
    licence=Licence(
        "cc-by-nc-sa-4.0",
        "The authors' README: “The code and the models are available for non-commercial scientific research purposes "
        "as defined in the [CC BY-NC-SA 4.0](https://creativecommons.org/licenses/by-nc-sa/4.0/).” What is made of "
        "them is under the same licence.",
        "yes",
    ),
    input="one frame, resized to 640 × 360 pixels by Pillow's bilinear filter whatever its aspect ratio, of which the "
    "middle 224 × 224, normalised by ImageNet's statistics; texts of 77 tokens",
    output="`get_image_features` and `get_text_features`, neither of them normalised; the score is the cosine "
    "similarity times 100",
)
