# SPDX-License-Identifier: Apache-2.0
"""SurgCLIP model configuration."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import BertConfig
from transformers.configuration_utils import PreTrainedConfig


@strict
class SurgCLIPVisionConfig(PreTrainedConfig):
    r"""
    Configuration of SurgCLIP's video encoder. Field names are those of [`TimesformerConfig`], plus `layout`;
    the defaults are SurgCLIP-B's.

    Args:
        image_size: Height and width of a frame in pixels.
        patch_size: Height and width of a patch in pixels; must divide `image_size`.
        num_frames: Frames a clip has at training time, the length of the table of time embeddings. Clips of another
            length are accepted: the table is resized by nearest neighbour, as in the released code.
        attention_type: `"divided_space_time"` or `"space_only"`.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0 at the first.
        layout: `"released"` reproduces the released SurgCLIP code, in which the top-left patch plays the CLS token
            of spatial attention and the frame axis of the output is bands of neighbouring patches over all frames,
            not time. `"per_frame"`: each frame keeps its own CLS token, which also attends over time, and the
            frame axis is time. Released weights need `"released"`.

    Raises:
        huggingface_hub.errors.StrictDataclassError: a field has another type or value, `hidden_size` is not a multiple
            of `num_attention_heads`, or `image_size` of `patch_size`. The message names the field.
    """

    model_type = "surgclip_vision_model"
    base_config_key = "vision_config"

    image_size: int = 224
    patch_size: int = 16
    num_channels: int = 3
    num_frames: int = 16
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.0
    attention_probs_dropout_prob: float | int = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    attention_type: Literal["divided_space_time", "space_only"] = "divided_space_time"
    drop_path_rate: float | int = 0.0
    layout: Literal["released", "per_frame"] = "released"

    def validate_architecture(self):
        """Part of `@strict` validation: checks that the sizes fit one another."""
        for whole, part in (("hidden_size", "num_attention_heads"), ("image_size", "patch_size")):
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(
                    f"SurgCLIPVisionConfig.{whole}={getattr(self, whole)} is not a multiple of "
                    f"{part}={getattr(self, part)}; choose sizes that divide"
                )


@strict
class SurgCLIPConfig(PreTrainedConfig):
    r"""
    Configuration of [`SurgCLIPModel`]: a video encoder, a BERT text encoder and the space they share.

    Args:
        vision_config: A [`SurgCLIPVisionConfig`] or a dictionary of its fields.
        text_config: A [`BertConfig`] or a dictionary of its fields.
        projection_dim: Width of the shared embedding space.
        temperature_init_value: Start value of `temp`, the learnable scalar by which cosines are divided.

    Example:

    ```python
    >>> from surglavi_hf import SurgCLIPConfig, SurgCLIPModel

    >>> model = SurgCLIPModel(SurgCLIPConfig())  # SurgCLIP-B with random weights
    ```"""

    model_type = "surgclip"
    sub_configs = {"vision_config": SurgCLIPVisionConfig, "text_config": BertConfig}

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    projection_dim: int = 256
    temperature_init_value: float = 0.07

    def __post_init__(self, **kwargs):
        for name, config_class in self.sub_configs.items():
            value = getattr(self, name)
            if value is None:
                setattr(self, name, config_class())
            elif isinstance(value, dict):
                setattr(self, name, config_class(**value))
        super().__post_init__(**kwargs)


__all__ = ["SurgCLIPConfig", "SurgCLIPVisionConfig"]
