# SPDX-License-Identifier: Apache-2.0
"""The layers of SurgCLIP's video encoder, a TimeSformer. Parameter names are those of the released weights.

Shapes below: B clips, T frames, N patches a frame, L tokens, M hidden size.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_surgclip import SurgCLIPVisionConfig


def eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Softmax attention written out; `query`, `key`, `value` of shape `(batch, heads, tokens, head_dim)`."""
    weights = query @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask
    # torch's softmax of half precision sums in single precision.
    weights = F.dropout(weights.softmax(dim=-1), p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2), weights


def init_layer(layer: nn.Module, std: float) -> None:
    """
    Sets what a layer has itself, where it was not loaded: the released initialisation, from a normal distribution cut
    at 2, without bias and with norms that are the identity. The time path of "per_frame" starts random, since that of
    a zero is slow. Other modules are left alone; layers come before those that hold them.
    """
    if isinstance(layer, (nn.Linear, nn.Conv2d)):
        init.trunc_normal_(layer.weight, std=std)
        if layer.bias is not None:
            init.zeros_(layer.bias)
    elif isinstance(layer, nn.LayerNorm):
        init.ones_(layer.weight)
        init.zeros_(layer.bias)
    elif isinstance(layer, SurgCLIPBlock) and layer.divided and layer.layout == "released":
        init.zeros_(layer.temporal_fc.weight)
    elif isinstance(layer, SurgCLIPVisionTransformer):
        init.trunc_normal_(layer.cls_token, std=std)
        init.trunc_normal_(layer.pos_embed, std=std)
        if layer.divided and layer.config.layout == "released":
            init.zeros_(layer.time_embed)
        elif layer.divided:
            init.trunc_normal_(layer.time_embed, std=std)


class SurgCLIPAttention(nn.Module):
    """Multi-head self-attention over the last but one axis of two batch axes of token sequences."""

    is_causal = False

    def __init__(self, config: SurgCLIPVisionConfig):
        super().__init__()
        self.config = config
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_bias)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.proj_drop = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> tuple[torch.Tensor, torch.Tensor | None]:
        """X sequences a clip: `(B, X, L, M)` to the same shape, and any weights `(B, X, heads, L, L)`."""
        batch_size, num_sequences, length, hidden_size = hidden_states.shape
        qkv = self.qkv(hidden_states.flatten(0, 1)).unflatten(
            -1, (3, -1, self.head_dim)
        )  # (B·X, L, 3, heads, head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B·X, heads, L, head_dim)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        output, weights = attend(self, query, key, value, None, scaling=self.scaling, dropout=dropout, **kwargs)
        if weights is not None:
            weights = weights.unflatten(0, (batch_size, num_sequences))
        output = output.reshape(batch_size, num_sequences, length, hidden_size)
        return self.proj_drop(self.proj(output)), weights


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

    def over_time(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """Each position attends to itself in the other frames; `(B, T, L, M)` to the same shape."""
        across = self.temporal_norm1(hidden_states).transpose(1, 2)  # (B, L, T, M)
        return self.temporal_fc(self.drop_path(self.temporal_attn(across, **kwargs)[0])).transpose(1, 2)

    def within_frames(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """Each token attends to those of its frame; `(B, T, L, M)` to the same shape."""
        return self.drop_path(self.attn(self.norm1(hidden_states), **kwargs)[0])

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """`hidden_states` and the result have shape `(B, T, 1 + N, M)`, the CLS slot first."""
        if self.divided and self.layout == "released":
            # The CLS slots are dropped; patch 0, as it was before attention over time, takes their place in space.
            patches = hidden_states[:, :, 1:]  # (B, T, N, M)
            stand_in = patches[:, :, :1]
            patches = patches + self.over_time(patches, **kwargs)
            spatial = self.within_frames(torch.cat([stand_in, patches], dim=2), **kwargs)
            # The released code adds the stand-in's result to itself, without a residual.
            hidden_states = torch.cat([2 * spatial[:, :, :1], patches + spatial[:, :, 1:]], dim=2)
        else:
            if self.divided:
                hidden_states = hidden_states + self.over_time(hidden_states, **kwargs)
            hidden_states = hidden_states + self.within_frames(hidden_states, **kwargs)
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

    def positions(self, height: int, width: int) -> torch.Tensor:
        """Embeddings of the patches of a grid of `height` times `width`, of shape `(1, height · width, M)`."""
        positions = self.pos_embed[:, 1:]
        if self.config.layout == "released":
            # The released code resizes for another number of patches, not for another shape of the same number.
            same, mode = height * width == self.grid**2, "nearest"
        else:
            same, mode = (height, width) == (self.grid, self.grid), "bicubic"  # as ViT does
        if same:
            return positions
        positions = positions.unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        return F.interpolate(positions, size=(height, width), mode=mode).flatten(2).transpose(1, 2)

    def times(self, num_frames: int) -> torch.Tensor:
        """Embeddings of the frames, of shape `(1, num_frames, M)`."""
        # An exported model takes any number, so that it must not ask whether it is this one.
        if not torch.compiler.is_exporting() and num_frames == self.time_embed.shape[1]:
            return self.time_embed
        # By nearest neighbour, as the released code does, two frames can get one time.
        mode = "nearest" if self.config.layout == "released" else "linear"
        return F.interpolate(self.time_embed.transpose(1, 2), size=num_frames, mode=mode).transpose(1, 2)

    def embed(self, pixel_values: torch.Tensor) -> torch.Tensor:
        batch_size, num_frames = pixel_values.shape[:2]
        maps = self.patch_embed(pixel_values.flatten(0, 1))  # (B·T, M, h, w)
        patches = maps.flatten(2).transpose(1, 2) + self.positions(*maps.shape[-2:])  # (B·T, N, M)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(patches.shape[0], -1, -1)
        hidden_states = torch.cat([cls, patches], dim=1).unflatten(0, (batch_size, num_frames))
        released = self.config.layout == "released"
        if self.divided and (num_frames > 1 or not released):  # for which a single frame has no time
            time = self.times(num_frames).unsqueeze(2)  # (1, T, 1, M)
            if released:  # nor has CLS
                time = torch.cat([torch.zeros_like(time), time.expand(-1, -1, patches.shape[1], -1)], dim=2)
            hidden_states = hidden_states + time
        return self.pos_drop(hidden_states)  # (B, T, 1 + N, M)

    def pool(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens in the order of the output, and one vector a frame slot `(B, T, M)`."""
        if self.config.layout == "per_frame":
            return hidden_states, hidden_states[:, :, 0]
        if self.divided:
            # The released code keeps patch-major order and cuts it into T chunks as if it were frame-major.
            chunks = hidden_states.shape[1:3]
            hidden_states = hidden_states.transpose(1, 2).flatten(1, 2).unflatten(1, chunks)
        return hidden_states, self.pool_norm(hidden_states[:, :, 1:].mean(dim=2))

    def forward(self, pixel_values: torch.Tensor, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        """`pixel_values` of shape `(B, T, C, H, W)` to tokens `(B, T, 1 + N, M)` and pooled vectors `(B, T, M)`."""
        hidden_states = self.embed(pixel_values)
        for block in self.blocks:
            hidden_states = block(hidden_states, **kwargs)
        return self.pool(self.norm(hidden_states))
