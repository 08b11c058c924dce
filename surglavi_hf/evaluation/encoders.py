# SPDX-License-Identifier: Apache-2.0
"""How each kind of model gives what an evaluation needs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from .video_encoder import VideoEncoder, finite, in_passes, no_text_encoder, pooled, settings_of, text_lengths
from .video_text_encoders import PeVideoEncoder, SurgLIMEEncoder, VideoPrismEncoder, XCLIPEncoder
from .vision_encoders import IMAGE_TYPES, VIDEO_TYPES, ImageEncoder, VideoOnlyEncoder

# By type of model: texts filled up to one length, as it was trained, and to how many tokens where not its config's.
_FILLED_UP: dict[str, int | None] = {"siglip": None, "siglip2": None, "surgvlp": 77}
# Models that are taken by their type, which their methods do not tell.
_BY_TYPE: dict[str, type[VideoEncoder]] = {
    "xclip": XCLIPEncoder,
    "videoprism": VideoPrismEncoder,
    "pe_video": PeVideoEncoder,
    "surglime": SurgLIMEEncoder,
    "pe_audio_video": PeVideoEncoder,
    **dict.fromkeys(IMAGE_TYPES, ImageEncoder),
    **dict.fromkeys(VIDEO_TYPES, VideoOnlyEncoder),
}


class ClipEncoder(VideoEncoder):
    """A model that embeds clips: `get_video_features(pixel_values)`, as [`SurgCLIPModel`]."""

    @property
    def num_frames(self) -> int:
        return self.processor.video_processor.num_frames

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        inputs = self.processor.video_processor([frames], do_sample_frames=False, return_tensors="pt")
        return inputs["pixel_values"][0]

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        pixel_values = frames[windows].to(self.model.device, self.model.dtype)  # (B, T, 3, H, W)
        with pooled(self.model.vision_encoder) as seen:
            projected = self.model.get_video_features(pixel_values).pooler_output
        raw = seen[0].float().mean(dim=1).cpu()  # (B, hidden_size)
        return {"projected": finite(projected.float().cpu(), "windows"), "raw": raw}

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        # Not by the processor, which cleans captions: the released evaluation tokenizes prompts as they are.
        return self._embed(self.processor.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt"))

    @property
    def logit_scale(self) -> float | None:
        temperature = getattr(self.model, "temp", None)
        return None if temperature is None else 1 / float(temperature.detach())

    @property
    def cleans_captions(self) -> bool:
        return bool(self.processor.text_preprocess)

    def embed_captions(self, texts: Sequence[str]) -> torch.Tensor:
        return self._embed(self.processor(text=list(texts), return_tensors="pt"))

    def _embed(self, inputs: Any) -> torch.Tensor:
        features = self.model.get_text_features(**inputs.to(self.model.device))
        return finite(features.pooler_output.float().cpu(), "texts")

    def frame_protocol(self) -> dict[str, str]:
        return super().frame_protocol() | {"frame_preprocessing": settings_of(self.processor.video_processor)}

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        return text_lengths(self.processor.tokenizer, texts, self.processor.tokenizer.model_max_length)


class FrameEncoder(VideoEncoder):
    """
    A model that embeds images: `get_image_features(pixel_values)`, as CLIP, MetaCLIP 2, SigLIP, MedSigLIP and SigLIP 2
    (of one resolution or of native aspect ratio) in transformers. A window or clip is the mean of its frames'
    normalised embeddings.
    """

    @property
    def num_frames(self) -> int:
        """Those of its config, as SurgVLP's single one; else 16, as SurgCLIP is shown."""
        return getattr(self.model.config, "num_frames", 16)

    def preprocess(self, frames: torch.Tensor) -> Mapping[str, torch.Tensor]:
        # SigLIP 2 of native aspect ratio has patches, which of them are filled, and how many high and wide.
        return dict(self.processor.image_processor(images=list(frames), return_tensors="pt"))

    def encode_frames(self, frames: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([self._encode(part) for part in in_passes(frames)])

    def _encode(self, frames: Mapping[str, torch.Tensor]) -> torch.Tensor:
        dtype, device = self.model.dtype, self.model.device
        inputs = {k: rows.to(device, dtype if rows.is_floating_point() else None) for k, rows in frames.items()}
        with pooled(self.model.vision_model) as seen:
            features = self.model.get_image_features(**inputs)
        projected = F.normalize(finite(features.pooler_output.float().cpu(), "frames"), dim=-1)
        self._projection_dim = projected.shape[1]
        return torch.cat([projected, seen[0].float().cpu()], dim=1)  # (N, projection_dim + hidden_size)

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        means = frames[windows].mean(dim=1)
        return {"projected": means[:, : self._projection_dim], "raw": means[:, self._projection_dim :]}

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        inputs = self.processor(
            text=list(texts),
            padding=self._padding,
            truncation=True,
            max_length=self._max_text_length,
            return_tensors="pt",
        )
        features = self.model.get_text_features(**inputs.to(self.model.device)).pooler_output
        return F.normalize(finite(features.float().cpu(), "texts"), dim=-1)

    def frame_protocol(self) -> dict[str, str]:
        return super().frame_protocol() | {"frame_preprocessing": settings_of(self.processor.image_processor)}

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        padding = "to the longest" if self._padding is True else "to the most tokens"
        lengths = text_lengths(self.processor.tokenizer, texts, self._max_text_length)
        return lengths | {"text_padding": padding}

    @property
    def logit_scale(self) -> float | None:
        scale = getattr(self.model, "logit_scale", None)
        return None if scale is None else float(scale.detach().exp())

    @property
    def _padding(self) -> bool | str:
        return "max_length" if self.model.config.model_type in _FILLED_UP else True

    @property
    def _max_text_length(self) -> int:
        given = _FILLED_UP.get(self.model.config.model_type)
        return self.model.config.text_config.max_position_embeddings if given is None else given


def encoder_of(model: Any, processor: Any) -> VideoEncoder:
    """
    Returns the model as a [`VideoEncoder`]. One that is a VideoEncoder is returned as it is, so that other models can
    be evaluated by a class of the caller's.

    Raises:
        TypeError: it is none that is known to embed clips or images.
    """
    if isinstance(model, VideoEncoder):
        return model
    if kind := _BY_TYPE.get(getattr(getattr(model, "config", None), "model_type", "")):
        return kind(model, processor)
    if hasattr(model, "get_video_features") and hasattr(model, "vision_encoder"):
        return ClipEncoder(model, processor)
    if hasattr(model, "get_image_features") and hasattr(model, "vision_model"):
        return FrameEncoder(model, processor)
    raise TypeError(
        f"{type(model).__name__} is no SurgCLIP and has no get_image_features; wrap it in a VideoEncoder of your own"
    )


def text_encoder_of(model: Any, processor: Any) -> VideoEncoder:
    """
    Returns what [`encoder_of`] does, of a model that embeds texts, too.

    Raises:
        TypeError: it embeds neither clips nor images.
        ValueError: it has no text encoder.
    """
    encoder = encoder_of(model, processor)
    if not encoder.has_text_encoder:
        raise no_text_encoder(encoder)
    return encoder
