# SPDX-License-Identifier: Apache-2.0
"""The encoders SurgCLIP starts from: a ViT for images, and a text encoder of the BERT family, new or trained."""

import inspect
import os

import torch
from torch import nn
from transformers import MODEL_MAPPING, AutoModel, ViTModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel

from .configuration_surgclip import SurgCLIPVisionConfig
from .loading import load_config, naming
from .modeling_surgclip_vision import SurgCLIPVisionTransformer

_SAME_FIELDS = (
    *("num_channels", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "layer_norm_eps", "qkv_bias"),
)


# Text encoders whose every trainable parameter gets a gradient from the first token.
BERT_FAMILY = (
    *("albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "ernie"),
    *("mobilebert", "modernbert", "mpnet", "roberta", "roformer", "squeezebert", "xlm-roberta"),
)


def make_text_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """
    Returns an untrained text encoder without the pooling layer, which SurgCLIP does not use.

    Raises:
        ValueError: it is none of the BERT family.
    """
    if config.model_type not in BERT_FAMILY or getattr(config, "is_decoder", False):
        raise ValueError(
            f"text_config is of a {config.model_type} model, expected an encoder of the BERT family: "
            f"{', '.join(BERT_FAMILY)}"
        )
    model_class = MODEL_MAPPING[type(config)]
    config.use_cache = False  # of decoders; with gradient checkpointing it would break the graph with a warning
    has_pooler = "add_pooling_layer" in inspect.signature(model_class).parameters
    return model_class._from_config(config, **({"add_pooling_layer": False} if has_pooler else {}))


def load_vit(
    name: str | os.PathLike, num_frames: int, revision: str | None = None
) -> tuple[ViTModel, SurgCLIPVisionConfig]:
    """
    Returns the ViT saved in a folder or under a Hub id, and the configuration of a video encoder of its sizes.

    Raises:
        OSError: there is none.
        ValueError: it is another model, lacks weights, or its images or patches are not square.
    """
    model_type = load_config(name, revision).model_type
    if model_type != "vit":
        raise ValueError(f"{name} is a {model_type} model, expected a ViT, for example google/vit-base-patch16-224")
    vit = _load(ViTModel, name, revision=revision, add_pooling_layer=False)
    sizes = {field: getattr(vit.config, field) for field in ("image_size", "patch_size")}
    for field, size in sizes.items():
        height, width = (size, size) if isinstance(size, int) else size
        if height != width:
            raise ValueError(f"{name} has {field}={size}, expected a square")
        sizes[field] = height
    same = {field: getattr(vit.config, field) for field in _SAME_FIELDS}
    return vit, SurgCLIPVisionConfig(**sizes, **same, num_frames=num_frames)


def load_text_encoder(name: str | os.PathLike, revision: str | None = None) -> PreTrainedModel:
    """
    Returns the text encoder saved in a folder or under a Hub id.

    Raises:
        OSError: there is none.
        ValueError: it is none of the BERT family, or lacks weights.
    """
    model_type = load_config(name, revision).model_type
    if model_type not in BERT_FAMILY:
        raise ValueError(
            f"{name} is a {model_type} model, expected an encoder of the BERT family: {', '.join(BERT_FAMILY)}"
        )
    return _load(AutoModel, name, revision=revision)


def _load(model_class: type, name: str | os.PathLike, **kwargs) -> PreTrainedModel:
    kwargs |= {"dtype": torch.float32, "output_loading_info": True, "trust_remote_code": False}
    with naming(name, "model"):
        model, info = model_class.from_pretrained(name, ignore_mismatched_sizes=True, **kwargs)
    wrong = info["missing_keys"] | {key for key, *_ in info["mismatched_keys"]}
    missing = sorted(key for key in wrong if not key.startswith("pooler."))  # which goes unused
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(f"{name} has no weights that fit {missing[0]}{more}; name a trained checkpoint")
    return model


@torch.no_grad()
def copy_vit(vit: ViTModel, encoder: SurgCLIPVisionTransformer) -> None:
    """
    Copies a ViT into a video encoder of the layout "per_frame". Attention over time starts as a copy of attention in
    space, behind a `temporal_fc` of zeros: until it is trained each frame is encoded as the ViT would.
    Source: the initialisation of TimeSformer (arXiv 2102.05095).
    """
    encoder.cls_token.copy_(vit.embeddings.cls_token)
    encoder.pos_embed.copy_(vit.embeddings.position_embeddings)
    _copy(vit.embeddings.patch_embeddings.projection, encoder.patch_embed.proj)
    encoder.time_embed.zero_()
    for layer, block in zip(vit.layers, encoder.blocks, strict=True):
        attention = (layer.attention.q_proj, layer.attention.k_proj, layer.attention.v_proj)
        for norm, ours in ((block.norm1, block.attn), (block.temporal_norm1, block.temporal_attn)):
            _copy(layer.layernorm_before, norm)
            ours.qkv.weight.copy_(torch.cat([linear.weight for linear in attention]))
            if ours.qkv.bias is not None:
                ours.qkv.bias.copy_(torch.cat([linear.bias for linear in attention]))
            _copy(layer.attention.o_proj, ours.proj)
        block.temporal_fc.weight.zero_()
        block.temporal_fc.bias.zero_()
        _copy(layer.layernorm_after, block.norm2)
        _copy(layer.mlp.fc1, block.mlp.fc1)
        _copy(layer.mlp.fc2, block.mlp.fc2)
    _copy(vit.layernorm, encoder.norm)


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
