# SPDX-License-Identifier: Apache-2.0
"""SurgVLP model configuration."""

from huggingface_hub.dataclasses import strict
from transformers import BertConfig, ResNetConfig
from transformers.configuration_utils import PreTrainedConfig


@strict
class SurgVLPConfig(PreTrainedConfig):
    r"""
    Configuration of [`SurgVLPModel`]: the one architecture of SurgVLP, HecVL and PeskaVLP, a ResNet-50 for frames and
    a BERT for text.

    Args:
        vision_config: A [`ResNetConfig`] or a dictionary of its fields; by default a ResNet-50.
        text_config: A [`BertConfig`] or a dictionary of its fields; by default Bio_ClinicalBERT's sizes.
        num_text_layers: How many of the last layers of the BERT are added up.
        max_text_length: Tokens that a text is filled up to. A text's embedding is its sum of tokens by this number,
            however far it is filled up.
        num_frames: Frames that a prediction is made from: one.
        logit_scale: What cosine similarities are multiplied by before a softmax.

    Raises:
        huggingface_hub.errors.StrictDataclassError: a field has another type or value. The message names the field.

    Source: `tests/config_surgvlp.py` and `tests/zero_shot.py` of https://github.com/CAMMA-public/SurgVLP.
    """

    model_type = "surgvlp"
    sub_configs = {"vision_config": ResNetConfig, "text_config": BertConfig}

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    num_text_layers: int = 4
    max_text_length: int = 77
    num_frames: int = 1
    logit_scale: float | int = 100.0

    def __post_init__(self, **kwargs):
        if self.vision_config is None or isinstance(self.vision_config, dict):
            self.vision_config = ResNetConfig(**(self.vision_config or {}))
        if self.text_config is None or isinstance(self.text_config, dict):
            self.text_config = BertConfig(**(self.text_config or {"vocab_size": 28996}))
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Part of `@strict` validation: checks ranges, and that the sizes fit one another."""
        for name in ("num_text_layers", "max_text_length", "num_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"SurgVLPConfig.{name}={getattr(self, name)}, expected a whole number >= 1")
        if not 0 < self.logit_scale < float("inf"):
            raise ValueError(f"SurgVLPConfig.logit_scale={self.logit_scale}, expected a finite number > 0")
        for name, most in (
            ("num_text_layers", self.text_config.num_hidden_layers + 1),  # the embeddings are one, too
            ("max_text_length", self.text_config.max_position_embeddings),
        ):
            if getattr(self, name) > most:
                raise ValueError(f"SurgVLPConfig.{name}={getattr(self, name)}, but text_config has {most}")

    @property
    def projection_dim(self) -> int:
        """Width of the space shared with text, which is the BERT's."""
        return self.text_config.hidden_size


SurgVLPConfig.register_for_auto_class()

__all__ = ["SurgVLPConfig"]
