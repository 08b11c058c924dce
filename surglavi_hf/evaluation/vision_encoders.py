# SPDX-License-Identifier: Apache-2.0
"""Models of transformers that see images or videos and read no text: frozen, for linear probing alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .video_encoder import VideoEncoder, finite, in_passes, no_text_encoder, pixels_of, settings_of

_POOLER, _FIRST, _MEAN = "pooler_output", "first token of last_hidden_state", "mean of last_hidden_state"
# What is pooled of a model, by its type, as its authors classify. The pooler of a ViT is seldom trained.
IMAGE_TYPES = {
    "vit": _FIRST,
    "dinov2": _POOLER,  # its class token
    "dinov2_with_registers": _POOLER,
    "dinov3_vit": _POOLER,
    "convnext": _POOLER,  # the mean over positions, normalised
    "convnextv2": _POOLER,
    "resnet": _POOLER,
    "pvt_v2": _MEAN,
    "surgenet_caformer": _POOLER,
}
VIDEO_TYPES = {"videomae": _MEAN, "timesformer": _FIRST, "videoprism_vision_model": _MEAN}


class _VisionEncoder(VideoEncoder):
    has_text_encoder = False

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        raise no_text_encoder(self)

    def frame_protocol(self) -> dict[str, str]:
        return super().frame_protocol() | {"frame_preprocessing": settings_of(self.processor)}

    def _pool(self, outputs: Any, how: str) -> torch.Tensor:
        """Returns `torch.float32` of shape `(batch_size, hidden_size)`, on the CPU."""
        if not hasattr(outputs, "last_hidden_state"):
            raise TypeError(f"{type(self.model).__name__} has a head; give its base model, as AutoModel loads it")
        if how == _POOLER:
            pooled = outputs.pooler_output.flatten(1)  # with axes of height and width of a ResNet
        else:
            tokens = outputs.last_hidden_state
            tokens = tokens.flatten(2).mT if tokens.ndim == 4 else tokens  # of (B, C, H, W)
            pooled = tokens[:, 0] if how == _FIRST else tokens.mean(dim=1)
        return finite(pooled.float().cpu(), "frames")


class ImageEncoder(_VisionEncoder):
    """A model of images. The features of a window are the mean of its frames'."""

    @property
    def num_frames(self) -> int:
        """Those of its config, which converted models have; else 16, as SurgCLIP is shown."""
        return getattr(self.model.config, "num_frames", 16)

    def preprocess(self, frames: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return dict(self.processor(images=list(frames), return_tensors="pt"))

    def encode_frames(self, frames: Mapping[str, torch.Tensor]) -> torch.Tensor:
        dtype, device, how = self.model.dtype, self.model.device, IMAGE_TYPES[self.model.config.model_type]
        passes = (part["pixel_values"].to(device, dtype) for part in in_passes(frames))
        return torch.cat([self._pool(self.model(pixels), how) for pixels in passes])

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"raw": frames[windows].mean(dim=1)}

    def frame_protocol(self) -> dict[str, str]:
        how = IMAGE_TYPES[self.model.config.model_type]
        return super().frame_protocol() | {"raw_features": f"{how} of each frame, their mean"}


class VideoOnlyEncoder(_VisionEncoder):
    """A model of videos, of as many frames as it was trained with."""

    @property
    def num_frames(self) -> int:
        return self.model.config.num_frames

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        return pixels_of(self.processor, frames)

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        self.check_num_frames(windows)  # a TimeSformer runs with others, too, and is wrong
        videos = frames[windows].to(self.model.device, self.model.dtype)  # (B, T, 3, H, W)
        return {"raw": self._pool(self.model(videos), VIDEO_TYPES[self.model.config.model_type])}

    def frame_protocol(self) -> dict[str, str]:
        return super().frame_protocol() | {"raw_features": VIDEO_TYPES[self.model.config.model_type]}
