# SPDX-License-Identifier: Apache-2.0
"""SurgLIME model configuration."""

from huggingface_hub.dataclasses import strict
from transformers import BertConfig, ViTConfig
from transformers.configuration_utils import PreTrainedConfig


@strict
class SurgLIMEConfig(PreTrainedConfig):
    r"""
    Configuration of [`SurgLIMEModel`]: a ViT for frames, whose class tokens are pooled over time, and a BERT for text.

    Args:
        vision_config: A [`ViTConfig`] or a dictionary of its fields; by default PL-Stitch's, a ViT-B/16.
        text_config: A [`BertConfig`] or a dictionary of its fields; by default PubMedBERT's sizes.
        projection_dim: Width of the space that clips and texts share.
        num_frames: Frames of a clip, as it was trained.
        max_text_length: Tokens of a text; the end of longer ones is cut off.
        logit_scale_init_value: Logarithm of what cosine similarities are multiplied by, before training.

    Raises:
        huggingface_hub.errors.StrictDataclassError: a field has another type or value. The message names the field.

    Source: `model.py` and `zero_shot_autolaparo_LMDB.py` of https://github.com/visurg-ai/SurgLIME.
    """

    model_type = "surglime"
    sub_configs = {"vision_config": ViTConfig, "text_config": BertConfig}

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    projection_dim: int = 256
    num_frames: int = 8
    max_text_length: int = 77
    logit_scale_init_value: float | int = 2.6592

    def __post_init__(self, **kwargs):
        if self.vision_config is None or isinstance(self.vision_config, dict):
            self.vision_config = ViTConfig(**(self.vision_config or {"layer_norm_eps": 1e-6}))
        if self.text_config is None or isinstance(self.text_config, dict):
            self.text_config = BertConfig(**(self.text_config or {}))
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Part of `@strict` validation: checks ranges, and that the sizes fit one another."""
        for name in ("projection_dim", "num_frames", "max_text_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"SurgLIMEConfig.{name}={getattr(self, name)}, expected a whole number >= 1")
        if self.max_text_length > self.text_config.max_position_embeddings:
            most = self.text_config.max_position_embeddings
            raise ValueError(f"SurgLIMEConfig.max_text_length={self.max_text_length}, but text_config has {most}")


SurgLIMEConfig.register_for_auto_class()

__all__ = ["SurgLIMEConfig"]
