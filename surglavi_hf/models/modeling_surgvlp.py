# SPDX-License-Identifier: Apache-2.0
"""PyTorch SurgVLP, HecVL and PeskaVLP: one architecture, a ResNet-50 for frames and a BERT for text.

The numbers are those of the classes in https://github.com/CAMMA-public/SurgVLP, which wrap torchvision's ResNet-50.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from transformers import BertModel, ResNetModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, BaseModelOutputWithPoolingAndNoAttention
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_surgvlp import SurgVLPConfig


@dataclass
class SurgVLPOutput(ModelOutput):
    """
    Args:
        logits_per_image: `torch.FloatTensor` of shape `(image_batch_size, text_batch_size)`. Cosine similarities times
            `config.logit_scale`.
        logits_per_text: `torch.FloatTensor` of shape `(text_batch_size, image_batch_size)`.
        image_embeds: `torch.FloatTensor` of shape `(image_batch_size, projection_dim)`, L2-normalised.
        text_embeds: `torch.FloatTensor` of shape `(text_batch_size, projection_dim)`, L2-normalised.
        vision_model_output: Output of [`SurgVLPModel.get_image_features`].
        text_model_output: Output of [`SurgVLPModel.get_text_features`].
    """

    logits_per_image: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    image_embeds: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    vision_model_output: BaseModelOutputWithPoolingAndNoAttention | None = None
    text_model_output: BaseModelOutputWithPooling | None = None


class SurgVLPVisionModel(ResNetModel):
    """A ResNet whose `pooler_output` is of shape `(batch_size, hidden_size)`."""

    @can_return_tuple
    def forward(self, pixel_values: torch.Tensor, **kwargs) -> BaseModelOutputWithPoolingAndNoAttention:
        outputs = super().forward(pixel_values, **kwargs, return_dict=True)
        outputs.pooler_output = outputs.pooler_output.flatten(1)
        return outputs


class SurgVLPModel(PreTrainedModel):
    """
    Frames and texts in one space. Neither is normalised, as in the released code; `forward` normalises both.

    Example:

    ```python
    >>> from surglavi_hf.models import SurgVLPConfig, SurgVLPModel

    >>> model = SurgVLPModel(SurgVLPConfig())  # of the released sizes, with random weights
    ```"""

    config_class = SurgVLPConfig
    base_model_prefix = "surgvlp"
    main_input_name = "pixel_values"
    input_modalities = ("image", "text")
    _no_split_modules = ["ResNetConvLayer", "ResNetShortCut", "BertEmbeddings", "BertLayer"]
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: SurgVLPConfig):
        super().__init__(config)
        self.vision_model = SurgVLPVisionModel(config.vision_config)
        self.visual_projection = nn.Linear(config.vision_config.hidden_sizes[-1], config.projection_dim)
        self.text_model = BertModel(config.text_config, add_pooling_layer=False)
        self.post_init()

    @property
    def logit_scale(self) -> torch.Tensor:
        """The logarithm of what cosine similarities are multiplied by, a scalar, as CLIP has it."""
        return torch.tensor(math.log(self.config.logit_scale))

    @can_return_tuple
    def get_image_features(self, pixel_values: torch.Tensor, **kwargs) -> BaseModelOutputWithPoolingAndNoAttention:
        """
        Returns the vision model's output, whose `pooler_output` is the projection, of shape
        `(batch_size, projection_dim)`; not normalised.

        Args:
            pixel_values: `torch.FloatTensor` of shape `(batch_size, 3, height, width)`.
        """
        outputs = self.vision_model(pixel_values, **kwargs, return_dict=True)
        outputs.pooler_output = self.visual_projection(outputs.pooler_output)
        return outputs

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """
        Returns the text model's output, whose `pooler_output` is the embedding, of shape
        `(batch_size, projection_dim)`; not normalised: the sum over the last layers and all tokens that are no
        padding, by `config.max_text_length`. The released code sums word pieces to words first and takes the mean over
        words and padding, which is the same.

        Args:
            input_ids: `torch.LongTensor` of shape `(batch_size, sequence_length)`.
            attention_mask: 0 where a token is padding, of the same shape; by default there is none.
            token_type_ids: Of the same shape; by default 0.

        Raises:
            ValueError: texts are longer than `config.max_text_length`.
        """
        if input_ids.shape[1] > self.config.max_text_length:
            raise ValueError(
                f"texts of {input_ids.shape[1]} tokens, expected at most {self.config.max_text_length}; let the "
                "processor cut them off"
            )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        outputs = self.text_model(
            input_ids, attention_mask, token_type_ids, **{**kwargs, "output_hidden_states": True, "return_dict": True}
        )
        layers = torch.stack(outputs.hidden_states[-self.config.num_text_layers :])  # (L, B, S, D)
        kept = attention_mask[..., None].to(layers.dtype)  # (B, S, 1)
        outputs.pooler_output = (layers.sum(dim=0) * kept).sum(dim=1) / self.config.max_text_length
        return outputs

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> SurgVLPOutput:
        """
        Returns embeddings of images, of texts, or of both and their logits.

        Args:
            input_ids, attention_mask, token_type_ids: As [`SurgVLPModel.get_text_features`].
            pixel_values: As [`SurgVLPModel.get_image_features`].

        Raises:
            ValueError: neither texts nor images.
        """
        if input_ids is None and pixel_values is None:
            raise ValueError("SurgVLPModel got neither input_ids nor pixel_values, expected at least one of them")
        output = SurgVLPOutput()
        if pixel_values is not None:
            output.vision_model_output = self.get_image_features(pixel_values, return_dict=True)
            output.image_embeds = nn.functional.normalize(output.vision_model_output.pooler_output, dim=-1)
        if input_ids is not None:
            output.text_model_output = self.get_text_features(
                input_ids, attention_mask, token_type_ids, return_dict=True
            )
            output.text_embeds = nn.functional.normalize(output.text_model_output.pooler_output, dim=-1)
        if input_ids is not None and pixel_values is not None:
            output.logits_per_image = self.config.logit_scale * output.image_embeds @ output.text_embeds.T
            output.logits_per_text = output.logits_per_image.T
        return output


SurgVLPModel.register_for_auto_class("AutoModel")

__all__ = ["SurgVLPModel", "SurgVLPOutput", "SurgVLPVisionModel"]
