# SPDX-License-Identifier: Apache-2.0
"""CAFormer model configuration."""

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig


@strict
class CAFormerConfig(PreTrainedConfig):
    r"""
    Configuration of [`CAFormerModel`], by default SurgeNet's, a CAFormer-S18: four stages, of which the first two mix
    positions by convolution and the others by attention.

    Args:
        hidden_sizes: Channels of each stage; of the last two a multiple of `attention_head_size`.
        depths: Blocks of each stage.
        mlp_ratio: How much wider the middle of an MLP is.
        attention_head_size: Channels of a head.
        hidden_act: Activation; SurgeNet's has ReLU, the models of CAFormer's authors have StarReLU.
        layer_norm_eps: Added to the variance in every norm.
        num_channels: Of a picture.
        initializer_range: Standard deviation of new weights.

    Raises:
        huggingface_hub.errors.StrictDataclassError: a field has another type or value. The message names the field.

    Source: Yu et al., MetaFormer Baselines for Vision, arXiv 2210.13452; `metaformer.py` of
    https://github.com/TimJaspers0801/SurgeNet.
    """

    model_type = "surgenet_caformer"

    hidden_sizes: list[int] | tuple[int, ...] = (64, 128, 320, 512)
    depths: list[int] | tuple[int, ...] = (3, 3, 9, 3)
    mlp_ratio: int = 4
    attention_head_size: int = 32
    hidden_act: str = "relu"
    layer_norm_eps: float = 1e-6
    num_channels: int = 3
    initializer_range: float = 0.02

    def validate_architecture(self):
        """Part of `@strict` validation: checks that there are four stages, and that heads fit."""
        for name in ("hidden_sizes", "depths"):
            sizes = getattr(self, name)
            if len(sizes) != 4 or min(sizes) < 1:
                raise ValueError(f"CAFormerConfig.{name}={sizes}, expected four whole numbers >= 1")
        if any(size % self.attention_head_size for size in self.hidden_sizes[2:]):
            raise ValueError(
                f"CAFormerConfig.hidden_sizes={self.hidden_sizes}, expected multiples of attention_head_size="
                f"{self.attention_head_size} in the last two stages"
            )


CAFormerConfig.register_for_auto_class()

__all__ = ["CAFormerConfig"]
