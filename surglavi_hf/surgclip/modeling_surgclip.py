# SPDX-License-Identifier: Apache-2.0
"""PyTorch SurgCLIP: a TimeSformer video encoder and a BERT text encoder with one embedding space.

Numerically the `surgclip` 0.1.0 package with `layout="released"`; parameter names are the released ones, so released
weights load without renaming. Shapes below: B clips, T frames, D projection size.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_surgclip import SurgCLIPConfig
from .modeling_surgclip_vision import SurgCLIPVisionEncoder, SurgCLIPVisionTransformer


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
        if isinstance(module, SurgCLIPModel):
            init.constant_(module.temp, module.config.temperature_init_value)
            for projection in (module.vision_proj, module.text_proj):
                _init_layer(projection, module.config.vision_config.initializer_range)
            if module.config.vision_config.layout == "released":
                _init_layer(module.vision_layernorm, 0.0)
        elif isinstance(module, SurgCLIPVisionTransformer):
            std = module.config.initializer_range
            for layer in module.modules():
                _init_layer(layer, std)
            init.trunc_normal_(module.cls_token, std=std)
            init.trunc_normal_(module.pos_embed, std=std)
            if module.divided and module.config.layout == "released":
                init.zeros_(module.time_embed)
                for block in module.blocks:
                    init.zeros_(block.temporal_fc.weight)
            elif module.divided:
                init.trunc_normal_(module.time_embed, std=std)


def _init_layer(layer: nn.Module, std: float) -> None:
    if isinstance(layer, (nn.Linear, nn.Conv2d)):
        init.trunc_normal_(layer.weight, std=std)
        if layer.bias is not None:
            init.zeros_(layer.bias)
    elif isinstance(layer, nn.LayerNorm):
        init.ones_(layer.weight)
        init.zeros_(layer.bias)


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
