# SPDX-License-Identifier: Apache-2.0
"""Models of open_clip (open_clip_torch), which embed images and texts."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image

from .video_encoder import VideoEncoder, digest_of_settings, finite, in_passes

_SCHEMES = ("hf-hub:", "local-dir:")  # of open_clip


class OpenClipEncoder(VideoEncoder):
    """
    A model of images by open_clip's own preprocessing, `encode_image` and `encode_text`. A window or clip is the mean
    of its frames' normalised embeddings. Of pooled features before the projection open_clip has no name: there are no
    `raw` ones.

    Args:
        model: As open_clip makes it.
        transform: What makes a tensor of a PIL image, of shape `(3, height, width)`.
        tokenizer: Of open_clip.
        name, config_sha256: For reports: what the model is called, and a digest of its architecture, which weights do
            not tell.
    """

    num_frames = 16

    def __init__(
        self,
        model: torch.nn.Module,
        transform: Callable[[Image.Image], torch.Tensor],
        tokenizer: Any,
        name: str,
        config_sha256: str,
    ):
        super().__init__(model)
        self._transform, self._tokenizer = transform, tokenizer
        self._known = {"name": name, "config_sha256": config_sha256}

    def preprocess(self, frames: torch.Tensor) -> Mapping[str, torch.Tensor]:
        images = [Image.fromarray(frame) for frame in frames.permute(0, 2, 3, 1).contiguous().numpy()]
        return {"images": torch.stack([self._transform(image) for image in images])}

    def encode_frames(self, frames: Mapping[str, torch.Tensor]) -> torch.Tensor:
        passes = (part["images"].to(self._device) for part in in_passes(frames))
        embeds = [self.model.encode_image(images, normalize=True).float().cpu() for images in passes]
        return finite(torch.cat(embeds), "frames")

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"projected": frames[windows].mean(dim=1)}

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = self._tokenizer(list(texts)).to(self._device)
        return finite(self.model.encode_text(tokens, normalize=True).float().cpu(), "texts")

    @property
    def logit_scale(self) -> float | None:
        return float(self.model.logit_scale.detach().exp())

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def describe(self) -> dict[str, str | None]:
        return super().describe() | {
            **self._known,
            "processor_sha256": digest_of_settings(open_clip.get_model_preprocess_cfg(self.model)),
            "tokenizer_sha256": digest_of_settings([self._vocabulary(), *self._reading().items()]),
        }

    def frame_protocol(self) -> dict[str, str]:
        settings = open_clip.get_model_preprocess_cfg(self.model)
        said = ", ".join(f"{name} {value}" for name, value in sorted(settings.items()))
        dtype = str(next(self.model.parameters()).dtype).removeprefix("torch.")
        return super().frame_protocol() | {"dtype": dtype, "frame_preprocessing": f"open_clip: {said}"}

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        longest = self._tokenizer.context_length
        cut = sum(length > longest for length in map(self._length, texts))
        reading = ", ".join(f"{name} {value}" for name, value in self._reading().items())
        return {
            "text_max_tokens": longest,
            "texts_cut": cut,
            "text_padding": "to the most tokens",
            "text_reading": f"{type(self._tokenizer).__name__}: {reading}",
        }

    def _vocabulary(self) -> Any:
        inner = getattr(self._tokenizer, "tokenizer", None)  # of transformers
        return self._tokenizer.encoder if inner is None else inner.get_vocab()

    def _reading(self) -> dict[str, str]:
        """What a tokenizer is set to; its functions by their names."""
        settings = {"context_length": str(self._tokenizer.context_length)}
        for name in ("clean_fn", "reduction_fn", "strip_sep_token", "tokenizer_mode"):
            value = getattr(self._tokenizer, name, None)
            if value:
                settings[name] = getattr(value, "__name__", str(value))
        return settings

    def _length(self, text: str) -> int:
        """In tokens, with those of beginning and end."""
        inner = getattr(self._tokenizer, "tokenizer", None)
        if inner is None:
            return len(self._tokenizer.encode(text)) + 2
        return len(inner(self._tokenizer.clean_fn(text), truncation=False, verbose=False)["input_ids"])


def load(name: str, revision: str | None, device: torch.device) -> OpenClipEncoder:
    """
    Returns a model with the weights that it was trained to.

    Args:
        name: `hf-hub:ORGANISATION/REPOSITORY`, `local-dir:FOLDER`, or `ARCHITECTURE/TAG` of those that
            `open_clip.list_pretrained()` gives; in the place of the tag the path of a checkpoint.
        revision: None: open_clip takes the newest of a repository.
        device: To evaluate on.

    Raises:
        OSError: there is none.
        ValueError: the name is none of these, or the model has no weights, damaged ones or code of its own.
    """
    if revision is not None:
        raise ValueError(f"open_clip takes the newest of a repository; leave revision={revision!r} (--revision) out")
    architecture, tag = (name, None) if name.startswith(_SCHEMES) else (name.partition("/")[0], name.partition("/")[2])
    if not tag and not name.startswith(_SCHEMES):
        raise ValueError(
            f"open_clip:{name} names no weights; write open_clip:ARCHITECTURE/TAG, open_clip:hf-hub:ID or "
            "open_clip:local-dir:FOLDER"
        )
    try:
        config = open_clip.get_model_config(architecture)
        if "trust_remote_code" in str(config):
            raise ValueError("it comes with code of its own, which is not run")
        digest = digest_of_settings(config)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "QuickGELU mismatch")  # another activation than it was trained with
            model, transform = open_clip.create_model_from_pretrained(architecture, tag, device=device)
        tokenizer = open_clip.get_tokenizer(architecture)
    except OSError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise ValueError(f"open_clip:{name} cannot be loaded ({type(error).__name__}: {said})") from error
    folder = name.removeprefix("local-dir:")
    named = Path(folder).name if folder != name else name  # no paths of this machine
    return OpenClipEncoder(model.eval(), transform, tokenizer, f"open_clip:{named}", digest)
