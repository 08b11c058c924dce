# SPDX-License-Identifier: Apache-2.0
"""Models that embed videos and texts: X-CLIP, VideoPrism, PE-Video and SurgLIME, each as its authors run it."""

import string
from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F

from .video_encoder import VideoEncoder, finite, in_passes, pixels_of, settings_of, text_lengths

_AS_THE_MODEL = "as in the model's own forward pass"


class VideoTextEncoder(VideoEncoder):
    """What these models share: a processor with a video processor and a tokenizer."""

    padding: bool | str = True  # of texts: to the longest of a pass, or "max_length"

    @property
    def max_text_length(self) -> int:
        """In tokens; of longer texts the end is not read."""
        return self.model.config.text_config.max_position_embeddings

    @property
    def num_frames(self) -> int:
        return self.model.config.vision_config.num_frames

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        return pixels_of(self.processor.video_processor, frames)

    def frame_protocol(self) -> dict[str, str]:
        return super().frame_protocol() | {"frame_preprocessing": settings_of(self.processor.video_processor)}

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        padding = "to the longest" if self.padding is True else "to the most tokens"
        return text_lengths(self.processor.tokenizer, texts, self.max_text_length) | {"text_padding": padding}

    def _videos(self, frames: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
        return frames[windows].to(self.model.device, self.model.dtype)  # (B, T, 3, H, W)

    def _tokens(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        settings = {"padding": self.padding, "truncation": True, "max_length": self.max_text_length}
        tokens = self.processor.tokenizer(list(texts), return_tensors="pt", **settings).to(self.model.device)
        return {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}


class XCLIPEncoder(VideoTextEncoder):
    """
    X-CLIP (Ni et al., arXiv 2208.02816), which adds to the embedding of a text what it makes of the patches of the
    video that it is compared with. So zero-shot recognition and predictions do. Retrieval, search and the classes of
    clips compare embeddings that were made apart, without it.
    """

    unit_texts = False
    score_protocol = (
        "cosine similarity of the window to the class's prompt with the video-specific prompt that the model makes of "
        f"the window added, {_AS_THE_MODEL}"
    )

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        """And `patches`, of which video-specific prompts are made, of shape `(num_windows, num_patches * dim)`."""
        self.check_num_frames(windows)
        model = self.model
        outputs = model.vision_model(pixel_values=self._videos(frames, windows).flatten(0, 1))
        by_frame = model.visual_projection(outputs.pooler_output).unflatten(0, windows.shape)  # (B, T, D)
        projected = F.normalize(finite(model.mit(by_frame).pooler_output.float().cpu(), "windows"), dim=-1)
        patches = model.prompts_visual_layernorm(outputs.last_hidden_state[:, 1:]) @ model.prompts_visual_projection
        patches = patches.unflatten(0, windows.shape).mean(dim=1)  # (B, P, D)
        raw = outputs.pooler_output.unflatten(0, windows.shape).float().mean(dim=1).cpu()
        return {"projected": projected, "raw": raw, "patches": patches.flatten(1).float().cpu()}

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Not normalised, since video-specific prompts are added before that."""
        features = self.model.get_text_features(**self._tokens(texts)).pooler_output
        return finite(features.float().cpu(), "texts")

    def embed_captions(self, texts: Sequence[str]) -> torch.Tensor:
        return F.normalize(self.embed_texts(texts), dim=-1)

    def score(self, windows: Mapping[str, torch.Tensor], texts: torch.Tensor) -> torch.Tensor:
        where = {"device": self.model.device, "dtype": self.model.dtype}
        patches = windows["patches"].unflatten(1, (-1, texts.shape[1])).to(**where)  # (B, P, D)
        texts = texts.to(**where).expand(len(patches), -1, -1)  # (B, C, D)
        prompted = F.normalize((texts + self.model.prompts_generator(texts, patches)).float().cpu(), dim=-1)
        return torch.einsum("bd,bcd->bc", windows["projected"], prompted)

    @property
    def logit_scale(self) -> float | None:
        return float(self.model.logit_scale.detach().exp())

    def frame_protocol(self) -> dict[str, str]:
        return super().frame_protocol() | {"raw_features": "class token of each frame, their mean"}

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        where = (
            "added where windows are scored; not in retrieval, search and classes of clips, which embed texts apart"
        )
        return super().text_protocol(texts) | {"video_specific_prompts": where}


class VideoPrismEncoder(VideoTextEncoder):
    """VideoPrism (Zhao et al., arXiv 2402.13217), the models with a text encoder. They have no logit scale."""

    padding = "max_length"
    score_protocol = "cosine similarity of the window to the class's prompt"

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        # Of another number of frames than it was trained with, its authors interpolate the positions in time.
        other = windows.shape[1] != self.num_frames
        seen: list[torch.Tensor] = []
        backbone = self.model.video_model.vision_model
        hook = backbone.register_forward_hook(lambda _, inputs, outputs: seen.append(outputs.last_hidden_state))
        try:
            videos = self._videos(frames, windows)
            features = self.model.get_video_features(videos, interpolate_pos_encoding=other).pooler_output
        finally:
            hook.remove()
        projected = F.normalize(finite(features.flatten(1).float().cpu(), "windows"), dim=-1)  # of (B, 1, D)
        return {"projected": projected, "raw": seen[0].float().mean(dim=1).cpu()}

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = self._tokens([canonical(text) for text in texts])
        return F.normalize(finite(self.model.get_text_features(**tokens).pooler_output.float().cpu(), "texts"), dim=-1)

    def frame_protocol(self) -> dict[str, str]:
        return super().frame_protocol() | {
            "raw_features": "mean of the backbone's tokens",
            "other_numbers_of_frames": "positions in time interpolated",
        }

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        lengths = super().text_protocol([canonical(text) for text in texts])
        return lengths | {"prompt_cleaning": "lower case, without punctuation, a full stop, as its authors tokenize"}


class PeVideoEncoder(VideoTextEncoder):
    """
    Perception Encoder Audiovisual, of which videos and texts alone are used, or its part for these, PE-Video.
    Embeddings are compared by their dot product, not normalised, as its authors and the model itself do; it takes any
    number of frames.
    """

    unit_texts = False
    score_protocol = (
        f"dot product of the embeddings of the window and of the class's prompt, not normalised, {_AS_THE_MODEL}"
    )

    @property
    def max_text_length(self) -> int:
        return 512  # its authors'; the text model would take more

    @property
    def num_frames(self) -> int:
        """What its video processor is set to; the models of all frames are set to none."""
        return self.processor.video_processor.num_frames or 16

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        pooled = self._of_video.video_encoder(pixel_values_videos=self._videos(frames, windows)).pooler_output
        projected = finite(self._of_video.video_head(pooled).float().cpu(), "windows")
        return {"projected": projected, "raw": pooled.float().cpu()}

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        # Its own get_text_features is no method, and would project every token.
        outputs = self._of_video.text_model(**self._tokens(texts), output_hidden_states=True)
        return finite(self._of_video.text_video_head(outputs.hidden_states[-1][:, 0]).float().cpu(), "texts")

    @property
    def logit_scale(self) -> float | None:
        return float(self._of_video.text_video_logit_scale.detach())

    @property
    def _of_video(self) -> torch.nn.Module:
        return self.model.video_model if self.model.config.model_type == "pe_audio_video" else self.model

    def frame_protocol(self) -> dict[str, str]:
        return super().frame_protocol() | {"raw_features": "class token of the video"}

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        return super().text_protocol(texts) | {"text_similarity": "dot product, embeddings not normalised"}


class SurgLIMEEncoder(VideoEncoder):
    """SurgLIME (visurg-ai), which pools the class tokens of eight frames by attention. A frame is seen once for all
    windows that it is in."""

    window_offsets = tuple(range(-3, 5))

    @property
    def num_frames(self) -> int:
        return self.model.config.num_frames

    def preprocess(self, frames: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return dict(self.processor.image_processor(images=list(frames), return_tensors="pt"))

    def encode_frames(self, frames: Mapping[str, torch.Tensor]) -> torch.Tensor:
        passes = (part["pixel_values"].to(self.model.device, self.model.dtype) for part in in_passes(frames))
        return torch.cat([self.model.get_frame_features(pixels).float().cpu() for pixels in passes])

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        of_windows = frames[windows]  # (B, T, hidden_size)
        pooled = self.model.pool_frames(of_windows.to(self.model.device, self.model.dtype)).float().cpu()
        return {"projected": F.normalize(finite(pooled, "windows"), dim=-1), "raw": of_windows.mean(dim=1)}

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        inputs = self.processor(text=list(texts)).to(self.model.device)
        return F.normalize(finite(self.model.get_text_features(**inputs).pooler_output.float().cpu(), "texts"), dim=-1)

    @property
    def logit_scale(self) -> float | None:
        return float(self.model.logit_scale.detach().exp())

    def frame_protocol(self) -> dict[str, str]:
        settings = settings_of(self.processor.image_processor)
        return super().frame_protocol() | {
            "frame_preprocessing": settings,
            "raw_features": "class token of each frame, their mean",
        }

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        longest = self.processor.tokenizer.model_max_length
        return text_lengths(self.processor.tokenizer, texts, longest) | {"text_padding": "to the longest"}


def canonical(text: str) -> str:
    """
    Returns a text as VideoPrism's authors tokenize it: punctuation is a space, lower case, single spaces, a full stop.
    """
    spaced = text.translate(str.maketrans(string.punctuation, " " * len(string.punctuation)))
    return f"{' '.join(spaced.lower().split())}."
