# SPDX-License-Identifier: Apache-2.0
"""SurgCLIP model configuration."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, BertConfig
from transformers.activations import ACT2FN
from transformers.configuration_utils import PreTrainedConfig

_SIZES = (
    *("image_size", "patch_size", "num_channels", "num_frames", "hidden_size"),
    *("num_hidden_layers", "num_attention_heads", "intermediate_size"),
)
_RATES = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate"),
    *("initializer_range", "layer_norm_eps"),
)


@strict
class SurgCLIPVisionConfig(PreTrainedConfig):
    r"""
    Configuration of SurgCLIP's video encoder. Field names are those of [`TimesformerConfig`], plus `layout`;
    the defaults are SurgCLIP-B's but for the layout.

    The layout: SurgCLIP's code drops the CLS tokens of the frames and lets the top-left patch play CLS in each.
    Then it reads its tokens, which are sorted by patch, as if they were sorted by frame: its "frame" axis is bands
    of neighbouring patches over all frames, and pooling mixes times. The released weights were trained so, and need
    `"released"`. New models have no reason to: with `"per_frame"`, the default, each frame keeps a CLS token of its
    own, which also attends over time and is what is pooled, and the frame axis is time.

    Args:
        image_size: Height and width of a frame in pixels. Other sizes are accepted: positions are resized.
        patch_size: Height and width of a patch in pixels; must divide `image_size`.
        num_frames: Frames a clip has at training time, the length of the table of time embeddings. Clips of another
            length are accepted: the table is resized by nearest neighbour, as in the released code.
        attention_type: `"divided_space_time"` or `"space_only"`.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0 at the first.
        layout: `"per_frame"` or `"released"`.

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
    initializer_range: float | int = 0.02
    layer_norm_eps: float = 1e-6
    qkv_bias: bool = True
    attention_type: Literal["divided_space_time", "space_only"] = "divided_space_time"
    drop_path_rate: float | int = 0.1
    layout: Literal["per_frame", "released"] = "per_frame"

    def validate_architecture(self):
        """Part of `@strict` validation: checks ranges, and that the sizes fit one another."""
        for name in _SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"SurgCLIPVisionConfig.{name}={getattr(self, name)}, expected a whole number >= 1")
        for name in _RATES:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"SurgCLIPVisionConfig.{name}={getattr(self, name)}, expected 0 <= {name} < 1")
        if self.hidden_act not in ACT2FN:
            raise ValueError(
                f"SurgCLIPVisionConfig.hidden_act={self.hidden_act!r}, expected one of {', '.join(sorted(ACT2FN))}"
            )
        for whole, part in (("hidden_size", "num_attention_heads"), ("image_size", "patch_size")):
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(
                    f"SurgCLIPVisionConfig.{whole}={getattr(self, whole)} is not a multiple of "
                    f"{part}={getattr(self, part)}; choose sizes that divide"
                )


@strict
class SurgCLIPConfig(PreTrainedConfig):
    r"""
    Configuration of [`SurgCLIPModel`]: a video encoder, a text encoder and the space they share.

    Args:
        vision_config: A [`SurgCLIPVisionConfig`] or a dictionary of its fields.
        text_config: The configuration of a text encoder of the BERT family, or a dictionary of its fields, by default
            those of a [`BertConfig`]; `model_type` names another kind.
        projection_dim: Width of the shared embedding space.
        temperature_init_value: Start value of `temp`, the learnable scalar by which cosines are divided.

    Raises:
        huggingface_hub.errors.StrictDataclassError: a field has another type or value. The message names the field.
        ValueError: `vision_config` has the `model_type` of another model, or `text_config` one that transformers does
            not know.

    Example:

    ```python
    >>> from surglavi_hf import SurgCLIPConfig, SurgCLIPModel

    >>> model = SurgCLIPModel(SurgCLIPConfig())  # SurgCLIP-B with random weights
    ```"""

    model_type = "surgclip"
    sub_configs = {"vision_config": SurgCLIPVisionConfig, "text_config": AutoConfig}

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    projection_dim: int = 256
    temperature_init_value: float | int = 0.07

    def __post_init__(self, **kwargs):
        if self.vision_config is None:
            self.vision_config = SurgCLIPVisionConfig()
        elif isinstance(self.vision_config, dict):
            model_type = self.vision_config.get("model_type", SurgCLIPVisionConfig.model_type)
            if model_type != SurgCLIPVisionConfig.model_type:
                raise ValueError(
                    f"SurgCLIPConfig.vision_config has model_type={model_type!r}, expected "
                    f"{SurgCLIPVisionConfig.model_type!r}, or none"
                )
            self.vision_config = SurgCLIPVisionConfig(**self.vision_config)
        if self.text_config is None:
            self.text_config = BertConfig()
        elif isinstance(self.text_config, dict):
            model_type = self.text_config.get("model_type", "bert")
            if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
                raise ValueError(
                    f"SurgCLIPConfig.text_config has model_type={model_type!r}, expected one that transformers knows, "
                    "for example 'bert'"
                )
            self.text_config = CONFIG_MAPPING[model_type](**self.text_config)
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Part of `@strict` validation: checks ranges."""
        if not isinstance(self.vision_config, SurgCLIPVisionConfig):
            found = type(self.vision_config).__name__
            raise ValueError(f"SurgCLIPConfig.vision_config is a {found}, expected a SurgCLIPVisionConfig")
        if self.projection_dim < 1:
            raise ValueError(f"SurgCLIPConfig.projection_dim={self.projection_dim}, expected a whole number >= 1")
        if not 0 < self.temperature_init_value < float("inf"):
            raise ValueError(
                f"SurgCLIPConfig.temperature_init_value={self.temperature_init_value}, expected a finite number > 0"
            )


SurgCLIPConfig.register_for_auto_class()
SurgCLIPVisionConfig.register_for_auto_class()

__all__ = ["SurgCLIPConfig", "SurgCLIPVisionConfig"]
