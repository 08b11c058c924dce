# SPDX-License-Identifier: Apache-2.0
"""PyTorch CAFormer, as SurgeNet has it. Names of weights are those of the released checkpoints.

The numbers are those of `MetaFormer` in `metaformer.py` of https://github.com/TimJaspers0801/SurgeNet.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndNoAttention
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import can_return_tuple

from .configuration_caformer import CAFormerConfig

# Maps are of shape (batch_size, height, width, channels) between stages, which linear layers and norms take.


class CAFormerDownsampling(nn.Module):
    def __init__(self, config: CAFormerConfig, stage: int):
        super().__init__()
        size, kernel, stride, padding = config.hidden_sizes[stage], *((7, 4, 2) if stage == 0 else (3, 2, 1))
        inputs = config.num_channels if stage == 0 else config.hidden_sizes[stage - 1]
        norm = nn.LayerNorm(size if stage == 0 else inputs, config.layer_norm_eps, bias=False)
        self.pre_norm, self.post_norm = (None, norm) if stage == 0 else (norm, None)
        self.conv = nn.Conv2d(inputs, size, kernel, stride, padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if self.pre_norm is None else self.pre_norm(x)
        x = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x if self.post_norm is None else self.post_norm(x)


class CAFormerConvolution(nn.Module):
    def __init__(self, config: CAFormerConfig, size: int):
        super().__init__()
        inner = 2 * size
        self.pwconv1 = nn.Linear(size, inner, bias=False)
        self.act1 = ACT2FN[config.hidden_act]
        self.dwconv = nn.Conv2d(inner, inner, 7, padding=3, groups=inner, bias=False)
        self.pwconv2 = nn.Linear(inner, size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act1(self.pwconv1(x)).permute(0, 3, 1, 2)
        return self.pwconv2(self.dwconv(x).permute(0, 2, 3, 1))


class CAFormerAttention(nn.Module):
    def __init__(self, config: CAFormerConfig, size: int):
        super().__init__()
        self.head_size = config.attention_head_size
        self.qkv = nn.Linear(size, 3 * size, bias=False)
        self.proj = nn.Linear(size, size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.qkv(x.flatten(1, 2)).unflatten(2, (3, -1, self.head_size))  # (B, N, 3, heads, head_size)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)  # (B, heads, N, head_size)
        return self.proj(mixed.transpose(1, 2).reshape(x.shape))


class CAFormerScale(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class CAFormerBlock(nn.Module):
    def __init__(self, config: CAFormerConfig, stage: int):
        super().__init__()
        size, attends = config.hidden_sizes[stage], stage >= 2
        self.norm1 = nn.LayerNorm(size, config.layer_norm_eps, bias=False)
        self.token_mixer = CAFormerAttention(config, size) if attends else CAFormerConvolution(config, size)
        self.res_scale1 = CAFormerScale(size) if attends else nn.Identity()
        self.norm2 = nn.LayerNorm(size, config.layer_norm_eps, bias=False)
        self.mlp = nn.Sequential()
        self.mlp.fc1 = nn.Linear(size, config.mlp_ratio * size, bias=False)
        self.mlp.act = ACT2FN[config.hidden_act]
        self.mlp.fc2 = nn.Linear(config.mlp_ratio * size, size, bias=False)
        self.res_scale2 = CAFormerScale(size) if attends else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.res_scale1(x) + self.token_mixer(self.norm1(x))
        return self.res_scale2(x) + self.mlp(self.norm2(x))


class CAFormerModel(PreTrainedModel):
    """Pictures to a map of features and their mean."""

    config_class = CAFormerConfig
    base_model_prefix = "caformer"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules = ["CAFormerBlock"]

    def __init__(self, config: CAFormerConfig):
        super().__init__(config)
        stages = range(4)
        self.downsample_layers = nn.ModuleList(CAFormerDownsampling(config, stage) for stage in stages)
        self.stages = nn.ModuleList(
            nn.Sequential(*(CAFormerBlock(config, stage) for _ in range(config.depths[stage]))) for stage in stages
        )
        self.norm = nn.LayerNorm(config.hidden_sizes[-1], config.layer_norm_eps)
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: torch.Tensor, **kwargs) -> BaseModelOutputWithPoolingAndNoAttention:
        """
        Returns `last_hidden_state`, the map of the last stage, of shape `(batch_size, channels, height, width)`; and
        `pooler_output`, its mean over the picture, normalised, of shape `(batch_size, channels)`.

        Args:
            pixel_values: `torch.FloatTensor` of shape `(batch_size, num_channels, height, width)`.
        """
        x = pixel_values.permute(0, 2, 3, 1)
        for downsampling, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsampling(x))
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=x.permute(0, 3, 1, 2), pooler_output=self.norm(x.mean(dim=(1, 2)))
        )


CAFormerModel.register_for_auto_class("AutoModel")

__all__ = ["CAFormerModel"]
