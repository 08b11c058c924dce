# SPDX-License-Identifier: Apache-2.0
"""PyTorch SurgCLIP: a TimeSformer video encoder and a BERT text encoder with one embedding space.

With `layout="released"` the numbers and the parameter names are those of the `surgclip` 0.1.0 package.
Shapes below: B clips, T frames, D projection size.
"""

import os
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import can_return_tuple
from transformers.utils.hub import resolve_revision
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_surgclip import SurgCLIPConfig, SurgCLIPVisionConfig
from .modeling_surgclip_outputs import SurgCLIPOutput, SurgCLIPVisionOutput
from .modeling_surgclip_vision import SurgCLIPAttention, SurgCLIPBlock, SurgCLIPVisionTransformer, init_layer
from .pretrained_encoders import copy_vit, load_text_encoder, load_vit, make_text_encoder


class SurgCLIPPreTrainedModel(PreTrainedModel):
    config_class = SurgCLIPConfig
    base_model_prefix = "surgclip"
    main_input_name = "pixel_values"
    input_modalities = ("video", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["SurgCLIPBlock"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        """
        As [`PreTrainedModel.from_pretrained`], but from safetensors only. `config._commit_hash` is the commit of a
        model from the Hub.
        """
        if not kwargs.setdefault("use_safetensors", True):
            raise ValueError(f"use_safetensors={kwargs['use_safetensors']}, but {cls.__name__} loads nothing else")
        name = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        where = {option: kwargs[option] for option in ("token", "local_files_only", "cache_dir") if option in kwargs}
        kwargs["revision"] = resolve_revision(name, kwargs.get("revision"), **where)
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if kwargs.get("output_loading_info") else loaded
        model.config._commit_hash = getattr(kwargs["revision"], "resolved", None)
        model._freeze_unused()  # loading makes new, trainable parameters
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike, *args, **kwargs):
        """As [`PreTrainedModel.save_pretrained`], with weights that whoever may read the config may read."""
        super().save_pretrained(save_directory, *args, **kwargs)
        config = Path(save_directory) / "config.json"
        if config.is_file():  # which one of several processes writes
            for weights in config.parent.glob("model*.safetensors"):
                weights.chmod(config.stat().st_mode & 0o666)  # safetensors shuts others out, whatever the user's mask

    @classmethod
    def is_custom_code(cls) -> bool:
        """
        Whether transformers has to guard what was loaded from `_init_weights`. Ours needs no guard; and under it what
        the layer above initialises, as in ModernBERT, would stay as memory was.
        """
        return False

    @torch.no_grad()
    def _init_weights(self, module):
        vision_config = self.config.vision_config if isinstance(self, SurgCLIPModel) else self.config
        init_layer(module, vision_config.initializer_range)
        if isinstance(module, SurgCLIPModel):
            init.constant_(module.temp, module.config.temperature_init_value)


class SurgCLIPVisionModel(SurgCLIPPreTrainedModel):
    """The video encoder alone, also of a folder of a whole [`SurgCLIPModel`]. Released names have it under `model`."""

    config_class = SurgCLIPVisionConfig
    base_model_prefix = "vision_encoder"
    input_modalities = ("video",)
    _input_embed_layer = "patch_embed"
    _can_record_outputs = {
        "hidden_states": SurgCLIPBlock,
        "attentions": OutputRecorder(SurgCLIPAttention, index=1, layer_name="attn"),
        "temporal_attentions": OutputRecorder(SurgCLIPAttention, index=1, layer_name="temporal_attn"),
    }

    def __init__(self, config: SurgCLIPVisionConfig):
        super().__init__(config)
        self.model = SurgCLIPVisionTransformer(config)
        self.post_init()
        self._freeze_unused()

    def _freeze_unused(self) -> None:
        """Freezes what the released layout leaves without influence; checkpoints keep it."""
        if self.config.layout == "released" and self.model.divided:
            self.model.cls_token.requires_grad_(False)
            if self.config.num_frames == 1:
                self.model.time_embed.requires_grad_(False)

    def forward(
        self,
        pixel_values: torch.Tensor,
        output_hidden_states: bool | int | list[int] | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> SurgCLIPVisionOutput:
        """
        Encodes clips.

        Args:
            pixel_values: `torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`.
            output_hidden_states, output_attentions, return_dict: As everywhere in transformers; by default what the
                config says. Attentions are those over time, too.

        Raises:
            ValueError: `pixel_values` has another shape or is not of floating point.
        """
        self._check(pixel_values)
        attentions = self.config.output_attentions if output_attentions is None else output_attentions
        options = _given(output_hidden_states=output_hidden_states, return_dict=return_dict)
        return self._encode(
            pixel_values, output_attentions=attentions, output_temporal_attentions=attentions, **options
        )

    @capture_outputs(tie_last_hidden_states=False)
    def _encode(self, pixel_values: torch.Tensor, **kwargs) -> SurgCLIPVisionOutput:
        pixel_values = pixel_values.to(self.model.patch_embed.proj.weight.dtype)
        last_hidden_state, pooler_output = self.model(pixel_values, **kwargs)
        return SurgCLIPVisionOutput(last_hidden_state=last_hidden_state, pooler_output=pooler_output)

    def _check(self, pixel_values: torch.Tensor) -> None:
        channels, patch_size = self.config.num_channels, self.config.patch_size
        if not isinstance(pixel_values, torch.Tensor):
            raise ValueError(f"pixel_values is a {type(pixel_values).__name__}, expected a torch.Tensor")
        shape = pixel_values.shape
        # No min() over sizes: to torch.export it would be a rule between them.
        fits = len(shape) == 5 and shape[2] == channels and shape[0] > 0 and shape[1] > 0
        fits = fits and shape[3] >= patch_size and shape[4] >= patch_size
        if not fits or not pixel_values.is_floating_point():
            raise ValueError(
                f"pixel_values is {pixel_values.dtype} of shape {tuple(shape)}, expected floating point of shape "
                f"(batch_size, num_frames, {channels}, height, width), height and width of {patch_size} or more; "
                "SurgCLIPVideoProcessor makes it"
            )


class SurgCLIPModel(SurgCLIPPreTrainedModel):
    """SurgCLIP, the dual encoder of surgical clips and captions (arXiv 2509.10555)."""

    def __init__(self, config: SurgCLIPConfig):
        super().__init__(config)
        vision_config, text_config = config.vision_config, config.text_config
        self.vision_encoder = SurgCLIPVisionModel._from_config(vision_config)
        self.text_encoder = make_text_encoder(text_config)
        self.vision_proj = nn.Linear(vision_config.hidden_size, config.projection_dim)
        self.text_proj = nn.Linear(text_config.hidden_size, config.projection_dim)
        self.temp = nn.Parameter(torch.tensor(float(config.temperature_init_value)))
        if vision_config.layout == "released":
            self.vision_layernorm = nn.LayerNorm(vision_config.hidden_size, eps=1e-12)
        self.post_init()
        self._freeze_unused()

    def _freeze_unused(self) -> None:
        """Freezes what has no influence on the similarity; checkpoints keep it."""
        self.vision_encoder._freeze_unused()
        if self.config.vision_config.layout == "released":
            self.vision_layernorm.requires_grad_(False)
        if getattr(self.text_encoder, "pooler", None) is not None:
            self.text_encoder.pooler.requires_grad_(False)

    @classmethod
    def from_encoders(
        cls,
        vision: str | os.PathLike,
        text: str | os.PathLike,
        num_frames: int = 16,
        projection_dim: int = 256,
        vision_revision: str | None = None,
        text_revision: str | None = None,
    ) -> "SurgCLIPModel":
        """
        Returns a model of the layout "per_frame" for new training, from an encoder of images and one of text.

        Until it is trained, `vision_encoder` encodes each frame as the ViT would: attention over time is a copy of
        attention in space behind a `temporal_fc` of zeros, and times are embedded as zeros. The projections are new.

        Args:
            vision: Folder or Hub id of a ViT, such as `google/vit-base-patch16-224`; a head it has is left behind.
            text: Folder or Hub id of a text encoder of the BERT family, such as `google-bert/bert-base-uncased`.
            num_frames: Frames a clip has at training time.
            projection_dim: Width of the shared embedding space.
            vision_revision, text_revision: Commits, branches or tags on the Hub.

        Raises:
            OSError: there is no such folder or Hub id.
            ValueError: it is another kind of model, or lacks weights.

        Example:

        ```python
        >>> model = SurgCLIPModel.from_encoders("google/vit-base-patch16-224", "google-bert/bert-base-uncased")
        >>> processor = SurgCLIPProcessor.from_encoders("google/vit-base-patch16-224", "google-bert/bert-base-uncased")
        ```"""
        vit, vision_config = load_vit(vision, num_frames, vision_revision)
        text_encoder = load_text_encoder(text, text_revision)
        config = SurgCLIPConfig(
            vision_config=vision_config, text_config=text_encoder.config, projection_dim=projection_dim
        )
        model = cls(config)
        copy_vit(vit, model.vision_encoder.model)
        ours = model.text_encoder.state_dict()
        model.text_encoder.load_state_dict({name: text_encoder.state_dict()[name] for name in ours})
        return model

    def get_input_embeddings(self) -> nn.Module:
        return self.text_encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_encoder.set_input_embeddings(value)

    def _or_config(self, **options) -> dict:
        """What the encoders are asked for, by the caller or else by the config of the whole."""
        return {name: True for name in options if getattr(self.config, name)} | _given(**options)

    @can_return_tuple
    def get_video_features(
        self,
        pixel_values: torch.Tensor,
        output_hidden_states: bool | int | list[int] | None = None,
        output_attentions: bool | None = None,
    ) -> SurgCLIPVisionOutput:
        """
        Returns the video encoder's output with the clip embedding as `pooler_output`.

        Args:
            pixel_values: `torch.FloatTensor` of shape `(batch_size, num_frames, num_channels, height, width)`.
            output_hidden_states, output_attentions: As everywhere in transformers, and so is `return_dict`; by default
                what the config says.

        Returns:
            `last_hidden_state` of shape `(batch_size, num_frames, 1 + num_patches, hidden_size)` and `pooler_output`
            of shape `(batch_size, projection_dim)`: the mean over the frame axis of L2-normalised projections, of
            norm at most 1, ready to be multiplied with text embeddings.

        Raises:
            ValueError: `pixel_values` has another shape or is not of floating point.
        """
        options = self._or_config(output_hidden_states=output_hidden_states, output_attentions=output_attentions)
        outputs = self.vision_encoder(pixel_values, return_dict=True, **options)
        projected = F.normalize(self.vision_proj(outputs.pooler_output), dim=-1)  # (B, T, D)
        outputs.pooler_output = projected.mean(dim=1)
        if self.config.vision_config.layout == "released":
            outputs.last_hidden_state = self.vision_layernorm(outputs.last_hidden_state)
        return outputs

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        output_hidden_states: bool | int | list[int] | None = None,
        output_attentions: bool | None = None,
    ) -> BaseModelOutputWithPooling:
        """
        Returns the text encoder's output with the caption embedding as `pooler_output`.

        Args:
            input_ids: `torch.LongTensor` of shape `(batch_size, sequence_length)`, [CLS] first.
            attention_mask: `torch.LongTensor` of shape `(batch_size, sequence_length)`, 0 where padded.
            token_type_ids, position_ids: As `input_ids`, for text encoders that have them.
            output_hidden_states, output_attentions: As of [`get_video_features`].

        Returns:
            `last_hidden_state` of shape `(batch_size, sequence_length, hidden_size)` and `pooler_output` of shape
            `(batch_size, projection_dim)`: the L2-normalised projection of the first token.
        """
        options = self._or_config(output_hidden_states=output_hidden_states, output_attentions=output_attentions)
        options |= _given(token_type_ids=token_type_ids, position_ids=position_ids)
        outputs = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **options)
        embeds = F.normalize(self.text_proj(outputs.last_hidden_state[:, 0]), dim=-1)
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=embeds,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        return_loss: bool = False,
        output_hidden_states: bool | int | list[int] | None = None,
        output_attentions: bool | None = None,
    ) -> SurgCLIPOutput:
        """
        Embeds clips and captions and compares each with each.

        Args:
            pixel_values: `torch.FloatTensor` of shape `(video_batch_size, num_frames, num_channels, height, width)`.
            input_ids: `torch.LongTensor` of shape `(text_batch_size, sequence_length)`.
            attention_mask: `torch.LongTensor` of shape `(text_batch_size, sequence_length)`.
            token_type_ids: As `input_ids`, for tokenizers that make them.
            return_loss: Also return the symmetric InfoNCE of this batch, row i of one side belonging to row i of the
                other. It sees this process's batch only; training over several processes needs
                [`surglavi_hf.training.ContrastiveLoss`].
            output_hidden_states, output_attentions: As of [`get_video_features`].

        Raises:
            ValueError: as [`get_video_features`], or unequal numbers of clips and captions with `return_loss=True`.
        """
        options = {"output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
        vision_outputs = self.get_video_features(pixel_values, return_dict=True, **options)
        text_outputs = self.get_text_features(input_ids, attention_mask, token_type_ids, return_dict=True, **options)
        video_embeds, text_embeds = vision_outputs.pooler_output, text_outputs.pooler_output
        text_embeds = text_embeds.to(video_embeds.device)  # with a device_map the encoders can lie apart
        logits_per_video = video_embeds @ text_embeds.T / self.temp.to(video_embeds.device)  # (Bv, Bt)
        return SurgCLIPOutput(
            loss=_contrastive_loss(logits_per_video) if return_loss else None,
            logits_per_video=logits_per_video,
            logits_per_text=logits_per_video.T,
            video_embeds=video_embeds,
            text_embeds=text_embeds,
            vision_model_output=vision_outputs,
            text_model_output=text_outputs,
        )


def _given(**options) -> dict:
    """Those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def _contrastive_loss(logits: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE; `logits` of shape `(B, B)`."""
    if logits.shape[0] != logits.shape[1]:
        found = f"found {logits.shape[0]} clips and {logits.shape[1]} captions"
        raise ValueError(f"return_loss=True needs one caption a clip, {found}; pass pairs, or leave return_loss out")
    target = torch.arange(logits.shape[0], device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


SurgCLIPModel.register_for_auto_class("AutoModel")
SurgCLIPVisionModel.register_for_auto_class("AutoModel")

__all__ = ["SurgCLIPModel", "SurgCLIPPreTrainedModel", "SurgCLIPVisionModel"]
