# SPDX-License-Identifier: Apache-2.0
"""PyTorch SurgLIME: a ViT for frames, attention over their class tokens, and a BERT for text.

The numbers are those of `SurgLIME` in https://github.com/visurg-ai/SurgLIME, whose LoRA adapters are added to the
weights here.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import BertModel, ViTModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_surglime import SurgLIMEConfig


@dataclass
class SurgLIMEOutput(ModelOutput):
    """
    Args:
        logits_per_video: `torch.FloatTensor` of shape `(video_batch_size, text_batch_size)`. Cosine similarities times
            the exponential of `logit_scale`.
        logits_per_text: `torch.FloatTensor` of shape `(text_batch_size, video_batch_size)`.
        video_embeds: `torch.FloatTensor` of shape `(video_batch_size, projection_dim)`, L2-normalised.
        text_embeds: `torch.FloatTensor` of shape `(text_batch_size, projection_dim)`, L2-normalised.
        vision_model_output: Output of [`SurgLIMEModel.get_video_features`].
        text_model_output: Output of [`SurgLIMEModel.get_text_features`].
    """

    logits_per_video: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    video_embeds: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    vision_model_output: BaseModelOutputWithPooling | None = None
    text_model_output: BaseModelOutputWithPooling | None = None


class SurgLIMEModel(PreTrainedModel):
    """
    Clips and texts in one space. Features of neither are normalised; `forward` normalises both, as the released code.

    Example:

    ```python
    >>> from surglavi_hf.models import SurgLIMEConfig, SurgLIMEModel

    >>> model = SurgLIMEModel(SurgLIMEConfig())  # of the released sizes, with random weights
    ```"""

    config_class = SurgLIMEConfig
    base_model_prefix = "surglime"
    main_input_name = "pixel_values"
    input_modalities = ("video", "text")
    _no_split_modules = ["ViTEmbeddings", "ViTLayer", "BertEmbeddings", "BertLayer"]
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: SurgLIMEConfig):
        super().__init__(config)
        width = config.vision_config.hidden_size
        self.vision_model = ViTModel(config.vision_config, add_pooling_layer=False)
        self.temporal_attention = nn.Sequential(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1))
        self.visual_projection = _projection(width, config.projection_dim)
        self.text_model = BertModel(config.text_config, add_pooling_layer=False)
        self.text_projection = _projection(config.text_config.hidden_size, config.projection_dim)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, SurgLIMEModel):
            init.constant_(module.logit_scale, self.config.logit_scale_init_value)

    def get_frame_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """
        Returns the class tokens of frames, of shape `(num_frames, hidden_size)`, which clips are made of.

        Args:
            pixel_values: `torch.FloatTensor` of shape `(num_frames, 3, height, width)`.
        """
        return self.vision_model(pixel_values).last_hidden_state[:, 0]

    def pool_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """
        Returns embeddings of clips, of shape `(batch_size, projection_dim)`; not normalised.

        Args:
            frames: From [`SurgLIMEModel.get_frame_features`], of shape `(batch_size, num_frames, hidden_size)`.
        """
        shares = self.temporal_attention(frames).softmax(dim=1)  # (B, T, 1)
        return self.visual_projection((frames * shares).sum(dim=1))

    @can_return_tuple
    def get_video_features(self, pixel_values: torch.Tensor) -> BaseModelOutputWithPooling:
        """
        Returns `last_hidden_state`, the class tokens of the frames, of shape `(batch_size, num_frames, hidden_size)`;
        and `pooler_output`, the embeddings of the clips, of shape `(batch_size, projection_dim)`, not normalised.

        Args:
            pixel_values: `torch.FloatTensor` of shape `(batch_size, num_frames, 3, height, width)`.

        Raises:
            ValueError: it has another number of axes.
        """
        if pixel_values.ndim != 5:
            raise ValueError(
                f"pixel_values has shape {tuple(pixel_values.shape)}, expected (batch_size, num_frames, 3, height, "
                "width); give one clip as a batch of one"
            )
        frames = self.get_frame_features(pixel_values.flatten(0, 1)).unflatten(0, pixel_values.shape[:2])
        return BaseModelOutputWithPooling(last_hidden_state=frames, pooler_output=self.pool_frames(frames))

    @can_return_tuple
    def get_text_features(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> BaseModelOutputWithPooling:
        """
        Returns the text model's output, whose `pooler_output` is the projected class token, of shape
        `(batch_size, projection_dim)`; not normalised.

        Args:
            input_ids: `torch.LongTensor` of shape `(batch_size, sequence_length)`.
            attention_mask: 0 where a token is padding, of the same shape; by default there is none.
            kwargs: Of [`BertModel`].
        """
        outputs = self.text_model(input_ids, attention_mask, **{**kwargs, "return_dict": True})
        outputs.pooler_output = self.text_projection(outputs.last_hidden_state[:, 0])
        return outputs

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> SurgLIMEOutput:
        """
        Returns embeddings of clips, of texts, or of both and their logits.

        Args:
            input_ids, attention_mask, token_type_ids: As [`SurgLIMEModel.get_text_features`].
            pixel_values: As [`SurgLIMEModel.get_video_features`].

        Raises:
            ValueError: neither texts nor clips.
        """
        if input_ids is None and pixel_values is None:
            raise ValueError("SurgLIMEModel got neither input_ids nor pixel_values, expected at least one of them")
        output = SurgLIMEOutput()
        if pixel_values is not None:
            output.vision_model_output = self.get_video_features(pixel_values, return_dict=True)
            output.video_embeds = nn.functional.normalize(output.vision_model_output.pooler_output, dim=-1)
        if input_ids is not None:
            output.text_model_output = self.get_text_features(
                input_ids, attention_mask, token_type_ids=token_type_ids, return_dict=True
            )
            output.text_embeds = nn.functional.normalize(output.text_model_output.pooler_output, dim=-1)
        if input_ids is not None and pixel_values is not None:
            output.logits_per_video = self.logit_scale.exp() * output.video_embeds @ output.text_embeds.T
            output.logits_per_text = output.logits_per_video.T
        return output


def _projection(width: int, projection_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, projection_dim))


SurgLIMEModel.register_for_auto_class("AutoModel")

__all__ = ["SurgLIMEModel", "SurgLIMEOutput"]
