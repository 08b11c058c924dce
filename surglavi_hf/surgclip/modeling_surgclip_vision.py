# SPDX-License-Identifier: Apache-2.0
"""The video encoder of SurgCLIP, a TimeSformer. Parameter names are those of the released weights.

Shapes below: B clips, T frames, N patches a frame, L tokens, M hidden size.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_surgclip import SurgCLIPVisionConfig


def eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Softmax attention written out; `query`, `key`, `value` of shape `(batch, heads, tokens, head_dim)`."""
    weights = query @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = weights.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


class SurgCLIPAttention(nn.Module):
    """Multi-head self-attention over the last but one axis of any batch of token sequences."""

    is_causal = False

    def __init__(self, config: SurgCLIPVisionConfig):
        super().__init__()
        self.config = config
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_bias)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.proj_drop = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        lead = hidden_states.shape[:-1]  # (..., L)
        tokens = hidden_states.flatten(0, -3)  # (X, L, M)
        qkv = self.qkv(tokens).unflatten(-1, (3, -1, self.head_dim))  # (X, L, 3, heads, head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (X, heads, L, head_dim)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        output, _ = attend(self, query, key, value, None, scaling=self.head_dim**-0.5, dropout=dropout)
        return self.proj_drop(self.proj(output.reshape(*lead, -1)))


class SurgCLIPMLP(nn.Module):
    def __init__(self, config: SurgCLIPVisionConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.drop = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(hidden_states)))))


class SurgCLIPDropPath(nn.Module):
    """Stochastic depth: drops the whole branch of some samples (first axis) in training."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0.0:
            return hidden_states
        keep = torch.rand(hidden_states.shape[0], *[1] * (hidden_states.ndim - 1), device=hidden_states.device)
        return hidden_states * (keep >= self.rate) / (1.0 - self.rate)


class SurgCLIPBlock(GradientCheckpointingLayer):
    """One encoder block: attention over time, attention within each frame, MLP."""

    def __init__(self, config: SurgCLIPVisionConfig, drop_path_rate: float):
        super().__init__()
        self.divided = config.attention_type == "divided_space_time"
        self.layout = config.layout
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = SurgCLIPAttention(config)
        if self.divided:
            self.temporal_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
            self.temporal_attn = SurgCLIPAttention(config)
            self.temporal_fc = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = SurgCLIPMLP(config)
        self.drop_path = SurgCLIPDropPath(drop_path_rate)

    def over_time(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Each position attends to itself in the other frames; `(B, T, L, M)` to the same shape."""
        across = self.temporal_norm1(hidden_states).transpose(1, 2)  # (B, L, T, M)
        return self.temporal_fc(self.drop_path(self.temporal_attn(across))).transpose(1, 2)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`hidden_states` and the result have shape `(B, T, 1 + N, M)`, the CLS slot first."""
        if self.divided and self.layout == "released":
            # The CLS slots are dropped; patch 0, as it was before attention over time, takes their place in space.
            patches = hidden_states[:, :, 1:]  # (B, T, N, M)
            stand_in = patches[:, :, :1]
            patches = patches + self.over_time(patches)
            spatial = self.drop_path(self.attn(self.norm1(torch.cat([stand_in, patches], dim=2))))
            # The released code adds the stand-in's result to itself, without a residual.
            hidden_states = torch.cat([2 * spatial[:, :, :1], patches + spatial[:, :, 1:]], dim=2)
        else:
            if self.divided:
                hidden_states = hidden_states + self.over_time(hidden_states)
            hidden_states = hidden_states + self.drop_path(self.attn(self.norm1(hidden_states)))
        return hidden_states + self.drop_path(self.mlp(self.norm2(hidden_states)))


class SurgCLIPPatchEmbed(nn.Module):
    def __init__(self, config: SurgCLIPVisionConfig):
        super().__init__()
        self.proj = nn.Conv2d(config.num_channels, config.hidden_size, config.patch_size, stride=config.patch_size)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.proj(pixel_values)  # (B·T, M, H / patch_size, W / patch_size)


class SurgCLIPVisionTransformer(nn.Module):
    """The video encoder: `(B, T, 3, H, W)` to tokens `(B, T, 1 + N, M)` and one pooled vector a frame slot."""

    def __init__(self, config: SurgCLIPVisionConfig):
        super().__init__()
        self.config = config
        self.divided = config.attention_type == "divided_space_time"
        self.grid = config.image_size // config.patch_size
        self.patch_embed = SurgCLIPPatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.grid**2, config.hidden_size))
        if self.divided:
            self.time_embed = nn.Parameter(torch.zeros(1, config.num_frames, config.hidden_size))
        self.pos_drop = nn.Dropout(config.hidden_dropout_prob)
        rates = torch.linspace(0, config.drop_path_rate, config.num_hidden_layers, device="cpu").tolist()
        self.blocks = nn.ModuleList([SurgCLIPBlock(config, rate) for rate in rates])
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        if config.layout == "released":
            self.pool_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def embed(self, pixel_values: torch.Tensor) -> torch.Tensor:
        batch_size, num_frames = pixel_values.shape[:2]
        maps = self.patch_embed(pixel_values.flatten(0, 1))  # (B·T, M, h, w)
        position = self.pos_embed[:, 1:]
        if maps.shape[-2:] != (self.grid, self.grid):
            position = position.unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
            position = F.interpolate(position, size=maps.shape[-2:], mode="nearest").flatten(2).transpose(1, 2)
        patches = maps.flatten(2).transpose(1, 2) + position  # (B·T, N, M)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1)
        hidden_states = torch.cat([cls, patches], dim=1).unflatten(0, (batch_size, num_frames))
        if self.divided and num_frames > 1:
            time = self.time_embed
            if num_frames != time.shape[1]:
                time = F.interpolate(time.transpose(1, 2), size=num_frames, mode="nearest").transpose(1, 2)
            time = time.unsqueeze(2)  # (1, T, 1, M)
            if self.config.layout == "released":
                time = torch.cat([torch.zeros_like(time), time.expand(-1, -1, patches.shape[1], -1)], dim=2)
            hidden_states = hidden_states + time
        return self.pos_drop(hidden_states)  # (B, T, 1 + N, M)

    def forward(self, pixel_values: torch.Tensor) -> BaseModelOutputWithPooling:
        """`pixel_values` of shape `(B, T, C, H, W)`; `pooler_output` has shape `(B, T, M)`."""
        if pixel_values.ndim != 5:
            raise ValueError(
                f"pixel_values has shape {tuple(pixel_values.shape)}, expected (batch_size, num_frames, num_channels, "
                "height, width); SurgCLIPVideoProcessor makes it"
            )
        hidden_states = self.embed(pixel_values)
        for block in self.blocks:
            hidden_states = block(hidden_states)
        hidden_states = self.norm(hidden_states)
        if self.config.layout == "per_frame":
            pooled = hidden_states[:, :, 0]
        else:
            if self.divided:
                # The released code keeps patch-major order and cuts it into T chunks as if it were frame-major.
                hidden_states = hidden_states.transpose(1, 2).reshape(hidden_states.shape)
            pooled = self.pool_norm(hidden_states[:, :, 1:].mean(dim=2))
        return BaseModelOutputWithPooling(last_hidden_state=hidden_states, pooler_output=pooled)


class SurgCLIPVisionEncoder(nn.Module):
    """Holds the transformer under `model`, as the released parameter names have it."""

    def __init__(self, config: SurgCLIPVisionConfig):
        super().__init__()
        self.model = SurgCLIPVisionTransformer(config)

    def forward(self, pixel_values: torch.Tensor) -> BaseModelOutputWithPooling:
        return self.model(pixel_values)
