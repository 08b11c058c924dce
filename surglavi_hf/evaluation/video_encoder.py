# SPDX-License-Identifier: Apache-2.0
"""What an evaluation needs of a model, and what a report says of one."""

import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from .report import weights_digest

# What a model takes of frames: one tensor or several by name, each with a row a frame.
Preprocessed: TypeAlias = torch.Tensor | Mapping[str, torch.Tensor]

_FRAMES_A_PASS = 32
_ORIGIN = ("auto_map", "_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


class VideoEncoder(ABC):
    """
    Embeds windows of frames, clips and texts: all that evaluations ask of a model. A frame is preprocessed, and where
    it can be embedded, once for all windows.

    Args:
        model: As transformers makes them, another `torch.nn.Module`, or None. Put in evaluation mode for the time of
            an evaluation, not written to.
        processor: Its processor, if it has one.

    Example:

    ```python
    class Mine(VideoEncoder):
        num_frames = 8

        def preprocess(self, frames):
            return torch.nn.functional.interpolate(frames / 255, (224, 224))

        def encode_frames(self, frames):
            return F.normalize(self.model.encode_image(frames).cpu(), dim=1)

        def embed_windows(self, frames, windows):
            means = frames[windows].mean(dim=1)
            return {"projected": means, "raw": means}

        def embed_texts(self, texts):
            return F.normalize(self.model.encode_text(texts).cpu(), dim=1)
    ```"""

    model: Any = None
    processor: Any = None
    # Without one a model gives no `projected`, and is for linear probing alone.
    has_text_encoder: bool = True
    # Frames shown around a labelled one, counted from it, where its authors place them otherwise than SurgCLIP's.
    window_offsets: tuple[int, ...] | None = None
    # Whether embeddings of texts are of unit length; where not, those of several prompts are averaged as they are.
    unit_texts: bool = True
    # What a report says of `score`.
    score_protocol: str = "mean over the window of the cosine similarity to the class's prompt"

    def __init__(self, model: Any = None, processor: Any = None):
        self.model, self.processor = model, processor

    @property
    @abstractmethod
    def num_frames(self) -> int:
        """Of a window or clip, where the caller does not say."""

    @abstractmethod
    def preprocess(self, frames: torch.Tensor) -> Preprocessed:
        """
        Returns what is kept of uint8 frames of shape `(num_frames, 3, height, width)`, a tensor or several by name,
        one row a frame. Frames of any size give rows of one shape. Processes that read frames call it.
        """

    def encode_frames(self, frames: Preprocessed) -> torch.Tensor:
        """Returns what windows are made of, one row a frame, from preprocessed frames."""
        if not isinstance(frames, torch.Tensor):
            raise TypeError(f"{type(self).__qualname__} preprocesses frames to several tensors; give it encode_frames")
        return frames

    @abstractmethod
    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        """
        Returns, on the CPU, `projected`: `torch.float32` of shape `(num_windows, projection_dim)`, whose product with
        text embeddings is the mean cosine similarity over the window; and `raw`: the mean of the backbone's pooled
        features, of shape `(num_windows, hidden_size)`, which linear probing alone asks for.

        Args:
            frames: From `encode_frames`.
            windows: Indices into them, of shape `(num_windows, num_frames)`.
        """

    @abstractmethod
    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """
        Returns L2-normalised `torch.float32` embeddings of shape `(len(texts), projection_dim)`, on the CPU. Texts are
        tokenized as they are.
        """

    def score(self, windows: Mapping[str, torch.Tensor], texts: torch.Tensor) -> torch.Tensor:
        """
        Returns how much windows are like texts, of shape `(num_windows, num_texts)`, on the CPU.

        Args:
            windows: From `embed_windows`.
            texts: From `embed_texts`, or means of these, of shape `(num_texts, projection_dim)`.
        """
        return windows["projected"] @ texts.T

    @property
    def logit_scale(self) -> float | None:
        """What the model was trained to multiply scores by before a softmax; None where there is none."""
        return None

    @property
    def cleans_captions(self) -> bool:
        """Whether the captions that the model was trained on were cleaned, which its processor does, too."""
        return False

    def embed_captions(self, texts: Sequence[str]) -> torch.Tensor:
        """Returns the like of captions, cleaned as those were that the model was trained on, if they were."""
        return self.embed_texts(texts)

    def check_num_frames(self, windows: torch.Tensor) -> None:
        """Raises ValueError where windows, of shape `(num_windows, num_frames)`, are longer or shorter than ours."""
        if (found := windows.shape[1]) != (expected := self.num_frames):
            name = type(self.model).__name__
            raise ValueError(f"{name} takes {expected} frames, not {found}; leave num_frames (--num-frames) out")

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode, without gradients, for the time of a `with`."""
        was_training = [(module, module.training) for owner in _modules(self) for module in owner.modules()]
        for module, _ in was_training:
            module.training = False
        try:
            with torch.no_grad():
                yield
        finally:
            for module, mode in was_training:
                module.training = mode

    def describe(self) -> dict[str, str | None]:
        """Returns what a report says of the model, and on which stored results depend."""
        return describe_encoder(self)

    def frame_protocol(self) -> dict[str, str]:
        """Returns by name how the model is run and what is made of frames, on which stored results depend, too."""
        return _arithmetic(self)

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        """Returns the like of texts."""
        return {}


def describe_encoder(encoder: VideoEncoder) -> dict[str, str | None]:
    """
    Returns name, revision on the Hub if it is from there, digests of weights, config and processor settings, and the
    encoder's class, with a digest of its code where it is not one of this package.
    """
    model, own = encoder.model, type(encoder).__module__.split(".")[0] != __name__.split(".")[0]
    config = getattr(model, "config", None)
    name = str(getattr(config, "_name_or_path", "") or type(encoder if model is None else model).__name__)
    about = {
        "name": Path(name).name if Path(name).is_dir() else name,  # no paths of this machine
        "revision": getattr(config, "_commit_hash", None),
        "weights_sha256": weights_digest(_weights(encoder)),
        "config_sha256": _digest_settings(config),
        "processor_sha256": _digest_settings(encoder.processor),
        "tokenizer_sha256": _digest_tokenizer(getattr(encoder.processor, "tokenizer", None)),
        "encoder": type(encoder).__qualname__,
    }
    return about | ({"encoder_sha256": _digest_code(type(encoder))} if own else {})


def _modules(encoder: VideoEncoder) -> list[torch.nn.Module]:
    """What an encoder computes with, whatever its attributes are named."""
    return [value for value in vars(encoder).values() if isinstance(value, torch.nn.Module)]


def _weights(encoder: VideoEncoder) -> Iterator[tuple[str, torch.Tensor]]:
    """By name: those of the model, and of an own encoder all that it has as attributes."""
    if isinstance(encoder.model, torch.nn.Module):
        yield from sorted(encoder.model.state_dict().items())
    for name, value in sorted(vars(encoder).items()):
        if name == "model" or name.startswith("_"):
            continue
        if isinstance(value, torch.nn.Module):
            yield from ((f"{name}.{key}", tensor) for key, tensor in sorted(value.state_dict().items()))
        elif isinstance(value, (torch.Tensor, np.ndarray)):
            yield name, torch.as_tensor(value)


def _digest_code(kind: type) -> str | None:
    try:
        return digest_of_settings(inspect.getsource(kind))
    except (OSError, TypeError):  # typed in at a prompt
        return None


def _digest_settings(part: Any) -> str | None:
    """Of a processor or config; not of what only a saved one knows, such as where it lies and its code."""
    if not hasattr(part, "to_dict"):
        return None
    return digest_of_settings(_without_origin(part.to_dict()))


def _digest_tokenizer(tokenizer: Any) -> str | None:
    """Of its vocabulary and rules, which a processor's settings do not tell."""
    if tokenizer is None:
        return None
    rules = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else tokenizer.get_vocab()
    rules = {name: value for name, value in rules.items() if name not in ("truncation", "padding")}  # of the last call
    return digest_of_settings([rules, tokenizer.model_max_length, tokenizer.padding_side, tokenizer.truncation_side])


def digest_of_settings(content: Any) -> str:
    """Returns a digest of whatever settings are, as `describe` has them."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _without_origin(settings: dict) -> dict:
    return {
        name: _without_origin(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name not in _ORIGIN
    }


def _arithmetic(encoder: VideoEncoder) -> dict[str, str]:
    """By what numbers, and on what, an encoder computes."""
    modules = [module for owner in _modules(encoder) for module in owner.modules()]
    device = next((parameter.device.type for owner in _modules(encoder) for parameter in owner.parameters()), "cpu")
    dtype = str(getattr(encoder.model, "dtype", "")).removeprefix("torch.")
    if torch.is_autocast_enabled(device):
        dtype += f", autocast to {str(torch.get_autocast_dtype(device)).removeprefix('torch.')}"
    configs = [module.config for module in modules if hasattr(module, "config")]
    ways = sorted({str(config._attn_implementation) for config in configs if hasattr(config, "_attn_implementation")})
    found = {"device": device, "dtype": dtype, "float32_products": torch.get_float32_matmul_precision()}
    if device == "cuda":
        found["float32_convolutions"] = torch.backends.cudnn.conv.fp32_precision
    return found | {"attention": ", ".join(ways)}


def no_text_encoder(encoder: VideoEncoder) -> ValueError:
    """Returns the error of whoever asks an encoder for texts that reads none."""
    name = type(encoder if encoder.model is None else encoder.model).__name__
    return ValueError(f"{name} has no text encoder; use it with surglavi probe (linear_probe)")


def in_passes(frames: Mapping[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    """Yields preprocessed frames by the number of a forward pass, since a clip or a batch of clips has many."""
    for start in range(0, len(next(iter(frames.values()))), _FRAMES_A_PASS):
        yield {name: rows[start : start + _FRAMES_A_PASS] for name, rows in frames.items()}


def pixels_of(processor: Any, frames: torch.Tensor) -> torch.Tensor:
    """
    Returns what a video processor of transformers, or an image processor that takes videos, makes of every frame, of
    shape `(num_frames, 3, height, width)`.

    Args:
        frames: uint8, of shape `(num_frames, 3, height, width)`.
    """
    if hasattr(processor, "do_sample_frames"):
        inputs = processor([frames], do_sample_frames=False, return_tensors="pt")
    else:
        inputs = processor(list(frames), return_tensors="pt")
    pixels = next(values for name, values in inputs.items() if name.startswith("pixel_values"))
    return pixels.flatten(0, -4)  # a video has an axis of its own, or none


def settings_of(processor: Any) -> str:
    """Its class, which says by what library it resizes, and all it is set to."""
    # A saved one has a type, too, which is that of another library where this one stands in for it.
    settings = _without_origin(processor.to_dict())
    settings = {name: value for name, value in settings.items() if not name.endswith("_type")}
    said = [f"{name} {value}" for name, value in sorted(settings.items()) if value is not None]
    return f"{type(processor).__name__}: {', '.join(said)}"


def text_lengths(tokenizer: Any, texts: Sequence[str], longest: int) -> dict[str, str | int]:
    """How long texts may be, and how many are longer, of which the end is not read."""
    lengths = [len(ids) for ids in tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]
    return {"text_max_tokens": longest, "texts_cut": sum(length > longest for length in lengths)}


@contextmanager
def pooled(backbone: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """What the backbone pools, before it is projected."""
    seen: list[torch.Tensor] = []
    hook = backbone.register_forward_hook(lambda module, inputs, outputs: seen.append(outputs.pooler_output))
    try:
        yield seen
    finally:
        hook.remove()


def finite(embeds: torch.Tensor, what: str) -> torch.Tensor:
    """Returns `embeds`, of shape `(num_rows, dim)`. Raises ValueError where one of these is not finite."""
    bad = (~embeds.isfinite()).any(dim=1).sum().item()
    if bad:
        raise ValueError(
            f"the embeddings of {bad} of {len(embeds)} {what} are not finite; the model cannot be evaluated"
        )
    return embeds
