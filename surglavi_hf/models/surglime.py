# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of SurgLIME: PL-Stitch's ViT and PubMedBERT with LoRA adapters, and what is put on them."""

import re

from transformers import PreTrainedTokenizerBase
from transformers.configuration_utils import PreTrainedConfig
from transformers.image_utils import PILImageResampling

from .configuration_surglime import SurgLIMEConfig
from .family import IMAGENET, Family, Licence, StateDict, bert_config, renamed
from .image_processing_pillow import PillowImageProcessor
from .plstitch import convert_vit
from .processing_surglime import SurgLIMEProcessor

_ALPHA = 32  # of the adapters: `lora_alpha` in model.py, which a checkpoint does not say
_VISION, _TEXT = "vision_encoder.base_model.model.", "text_encoder.base_model.model."
_NAMES = {
    r"temporal_pool\.attention\.(.+)": r"temporal_attention.\1",
    r"vision_proj\.(.+)": r"visual_projection.\1",
    r"text_proj\.(.+)": r"text_projection.\1",
}


def convert(weights: StateDict) -> tuple[PreTrainedConfig, StateDict]:
    """To one model, whose weights have the adapters added."""
    vision, vision_weights = convert_vit(_merged(weights, _VISION))
    text_weights = _merged(weights, _TEXT)
    config = SurgLIMEConfig(
        vision_config=vision,
        text_config=bert_config(text_weights),
        projection_dim=len(weights["vision_proj.3.weight"]),
    )
    rest = {name: tensor for name, tensor in weights.items() if not name.startswith((_VISION, _TEXT))}
    return config, (
        {f"vision_model.{name}": tensor for name, tensor in vision_weights.items()}
        | {f"text_model.{name}": tensor for name, tensor in text_weights.items()}
        | {renamed(name, _NAMES): tensor for name, tensor in rest.items()}
    )


def _merged(weights: StateDict, prefix: str) -> StateDict:
    """Weights of an encoder, by their names without a prefix; W + alpha / r * B A for those that have an adapter."""
    found = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    merged: StateDict = {}
    for name, tensor in found.items():
        if match := re.fullmatch(r"(.+)\.base_layer\.weight", name):
            down, up = (found[f"{match[1]}.lora_{which}.default.weight"].double() for which in "AB")
            tensor = (tensor.double() + _ALPHA / len(down) * (up @ down)).float()
        elif re.sub(r"\.lora_[AB]\.default\.weight$", ".base_layer.weight", name) in found.keys() - {name}:
            continue
        merged[name.replace(".base_layer.", ".")] = tensor
    return merged


def processor(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None) -> SurgLIMEProcessor:
    """As `zero_shot_autolaparo_LMDB.py` prepares frames and texts."""
    tokenizer.model_max_length = config.max_text_length
    size = {"height": config.vision_config.image_size, "width": config.vision_config.image_size}
    return SurgLIMEProcessor(
        PillowImageProcessor(size=size, resample=PILImageResampling.BILINEAR, **IMAGENET), tokenizer
    )


FAMILY = Family(
    name="SurgLIME",
    parts=(
        r"vision_encoder\.base_model\.model\.",
        r"text_encoder\.base_model\.model\.",
        r"temporal_pool\.attention\.",
        r"vision_proj\.",
        r"text_proj\.",
    ),
    # The first are the encoders' weights once more, by the names that they had before adapters were put on them.
    left_out=r"(vision|text)_base\..+|text_encoder\.base_model\.model\.(embeddings\.position_ids|pooler\..+)",
    convert=convert,
    processor=processor,
    tokenizer="microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract-fulltext",
    repository="visurg-ai/SurgLIME",
    paper="2604.18134",
    licence=Licence(
        "unknown",
        "The authors have published no licence, neither of the code nor of the weights. So the converted weights are "
        "for those who made them and may not be given on.",
        "no",
    ),
    input="eight frames of a clip, in zero-shot recognition of one from three steps before it to four after it, each "
    "resized to 224 × 224 pixels by Pillow's bilinear filter whatever its aspect ratio, normalised by ImageNet's "
    "statistics; texts of at most 77 tokens",
    output="`get_video_features` and `get_text_features`, neither of them normalised; the score is the cosine "
    "similarity",
)
