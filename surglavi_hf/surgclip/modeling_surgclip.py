# SPDX-License-Identifier: Apache-2.0
"""PyTorch SurgCLIP: a TimeSformer video encoder and a BERT text encoder with one embedding space.

Numerically the `surgclip` 0.1.0 package with `layout="released"`; parameter names are the released ones, so released
weights load without renaming. Shapes below: B clips, T frames, N patches a frame, M hidden size, D projection size.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_surgclip import SurgCLIPConfig, SurgCLIPVisionConfig


@dataclass
class SurgCLIPOutput(ModelOutput):
    """
    Args:
        loss: `torch.FloatTensor`, scalar, returned with `return_loss=True`. Symmetric InfoNCE within the batch.
        logits_per_video: `torch.FloatTensor` of shape `(video_batch_size, text_batch_size)`.
            `video_embeds @ text_embeds.T / temp`.
        logits_per_text: `torch.FloatTensor` of shape `(text_batch_size, video_batch_size)`.
        video_embeds: `torch.FloatTensor` of shape `(video_batch_size, projection_dim)`. The mean over the frame axis
            of L2-normalised projections; its norm is at most 1 and is not made 1 again.
        text_embeds: `torch.FloatTensor` of shape `(text_batch_size, projection_dim)`, L2-normalised.
        vision_model_output: Output of the video encoder.
        text_model_output: Output of the text encoder.
    """

    loss: torch.FloatTensor | None = None
    logits_per_video: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    video_embeds: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    vision_model_output: BaseModelOutputWithPooling | None = None
    text_model_output: BaseModelOutputWithPooling | None = None


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


class SurgCLIPPreTrainedModel(PreTrainedModel):
    config_class = SurgCLIPConfig
    base_model_prefix = "surgclip"
    main_input_name = "pixel_values"
    input_modalities = ("video", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["SurgCLIPBlock", "BertLayer"]
    _supports_sdpa = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module):
        """The released initialisation; the time path of `per_frame` starts random, since that of a zero is slow."""
        std = self.config.get_text_config().initializer_range
        if isinstance(module, SurgCLIPModel):
            init.constant_(module.temp, module.config.temperature_init_value)
        elif isinstance(module, SurgCLIPVisionTransformer):
            std = module.config.initializer_range
            init.trunc_normal_(module.cls_token, std=std)
            init.trunc_normal_(module.pos_embed, std=std)
            if module.divided:
                if module.config.layout == "released":
                    init.zeros_(module.time_embed)
                    for block in module.blocks:
                        init.zeros_(block.temporal_fc.weight)
                else:
                    init.trunc_normal_(module.time_embed, std=std)
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)


class SurgCLIPModel(SurgCLIPPreTrainedModel):
    """SurgCLIP, the dual encoder of surgical clips and captions (arXiv 2509.10555)."""

    def __init__(self, config: SurgCLIPConfig):
        super().__init__(config)
        vision_config, text_config = config.vision_config, config.text_config
        vision_config._attn_implementation = config._attn_implementation
        self.vision_encoder = SurgCLIPVisionEncoder(vision_config)
        self.text_encoder = BertModel._from_config(text_config, add_pooling_layer=False)
        self.vision_proj = nn.Linear(vision_config.hidden_size, config.projection_dim)
        self.text_proj = nn.Linear(text_config.hidden_size, config.projection_dim)
        self.temp = nn.Parameter(torch.tensor(config.temperature_init_value))
        if vision_config.layout == "released":
            self.vision_layernorm = nn.LayerNorm(vision_config.hidden_size, eps=1e-12)
        self.post_init()
        self._freeze_unused()

    def _freeze_unused(self) -> None:
        """Freezes what the released layout leaves without influence on the similarity; it is kept for checkpoints."""
        if self.config.vision_config.layout == "released":
            self.vision_layernorm.requires_grad_(False)
            if self.config.vision_config.attention_type == "divided_space_time":
                self.vision_encoder.model.cls_token.requires_grad_(False)

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        """As [`PreTrainedModel.from_pretrained`]."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if kwargs.get("output_loading_info") else loaded
        model._freeze_unused()  # loading makes new, trainable parameters
        return loaded

    def get_input_embeddings(self) -> nn.Module:
        return self.text_encoder.get_input_embeddings()

    @can_return_tuple
    def get_video_features(self, pixel_values: torch.Tensor, **kwargs) -> BaseModelOutputWithPooling:
        """
        Returns the video encoder's output with the clip embedding as `pooler_output`.

        Args:
            pixel_values: `torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`.

        Returns:
            `last_hidden_state` of shape `(batch_size, num_frames, 1 + num_patches, hidden_size)` and `pooler_output`
            of shape `(batch_size, projection_dim)`: the mean over the frame axis of L2-normalised projections, of
            norm at most 1, ready to be multiplied with text embeddings.

        Raises:
            ValueError: `pixel_values` does not have five axes.
        """
        outputs = self.vision_encoder(pixel_values)
        projected = F.normalize(self.vision_proj(outputs.pooler_output), dim=-1)  # (B, T, D)
        last_hidden_state = outputs.last_hidden_state
        if self.config.vision_config.layout == "released":
            last_hidden_state = self.vision_layernorm(last_hidden_state)
        return BaseModelOutputWithPooling(last_hidden_state=last_hidden_state, pooler_output=projected.mean(dim=1))

    @can_return_tuple
    def get_text_features(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> BaseModelOutputWithPooling:
        """
        Returns the text encoder's output with the caption embedding as `pooler_output`.

        Args:
            input_ids: `torch.LongTensor` of shape `(batch_size, sequence_length)`, [CLS] first.
            attention_mask: `torch.LongTensor` of shape `(batch_size, sequence_length)`, 0 where padded.

        Returns:
            `last_hidden_state` of shape `(batch_size, sequence_length, hidden_size)` and `pooler_output` of shape
            `(batch_size, projection_dim)`: the L2-normalised projection of the first token.
        """
        outputs = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask)
        embeds = F.normalize(self.text_proj(outputs.last_hidden_state[:, 0]), dim=-1)
        return BaseModelOutputWithPooling(last_hidden_state=outputs.last_hidden_state, pooler_output=embeds)

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        return_loss: bool = False,
        **kwargs,
    ) -> SurgCLIPOutput:
        """
        Embeds clips and captions and compares each with each.

        Args:
            pixel_values: `torch.FloatTensor` of shape `(video_batch_size, num_frames, num_channels, height, width)`.
            input_ids: `torch.LongTensor` of shape `(text_batch_size, sequence_length)`.
            attention_mask: `torch.LongTensor` of shape `(text_batch_size, sequence_length)`.
            return_loss: Also return the symmetric InfoNCE of this batch, row i of one side belonging to row i of the
                other. It sees this process's batch only; training over several processes needs
                [`surglavi_hf.training.ContrastiveLoss`].

        Raises:
            ValueError: `return_loss=True` with unequal numbers of clips and captions.
        """
        vision_outputs = self.get_video_features(pixel_values, return_dict=True)
        text_outputs = self.get_text_features(input_ids, attention_mask, return_dict=True)
        video_embeds, text_embeds = vision_outputs.pooler_output, text_outputs.pooler_output
        logits_per_video = video_embeds @ text_embeds.T / self.temp  # (Bv, Bt)
        loss = None
        if return_loss:
            if len(video_embeds) != len(text_embeds):
                raise ValueError(
                    f"return_loss=True needs one caption a clip, found {len(video_embeds)} clips and "
                    f"{len(text_embeds)} captions; pass pairs, or leave return_loss out"
                )
            target = torch.arange(len(video_embeds), device=video_embeds.device)
            loss = (F.cross_entropy(logits_per_video, target) + F.cross_entropy(logits_per_video.T, target)) / 2
        return SurgCLIPOutput(
            loss=loss,
            logits_per_video=logits_per_video,
            logits_per_text=logits_per_video.T,
            video_embeds=video_embeds,
            text_embeds=text_embeds,
            vision_model_output=vision_outputs,
            text_model_output=text_outputs,
        )


__all__ = ["SurgCLIPModel", "SurgCLIPPreTrainedModel"]
