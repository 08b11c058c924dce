# SPDX-License-Identifier: Apache-2.0
"""Models of sentence-transformers that embed images and texts, such as Qwen3-VL-Embedding."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from sentence_transformers import SentenceTransformer
from torch.nn import functional as F

from .video_encoder import VideoEncoder, digest_of_settings, finite, settings_of

_AT_ONCE = 32  # images or texts a forward pass


class SentenceTransformersEncoder(VideoEncoder):
    """
    A model by its own `encode_query`, of texts, and `encode_document`, of frames, each an image. A window or clip is
    the mean of its frames' embeddings, whatever the model makes of videos. There are no `raw` features.

    Args:
        model: That embeds images and texts, and compares them by cosine similarity or dot products.

    Raises:
        ValueError: it does not.
    """

    num_frames = 16

    def __init__(self, model: SentenceTransformer):
        super().__init__(model, model.processor)
        if not (model.supports("image") and model.supports("text")):
            found = ", ".join(str(modality) for modality in model.modalities)
            raise ValueError(f"it embeds {found}; expected a model that embeds images and texts")
        if model.similarity_fn_name not in ("cosine", "dot"):
            raise ValueError(f"it compares by {model.similarity_fn_name}, expected cosine or dot")
        self.unit_texts = model.similarity_fn_name == "cosine"
        if not self.unit_texts:
            self.score_protocol = "dot product of the window's and the class's embeddings, not normalised, as its own"

    def preprocess(self, frames: torch.Tensor) -> torch.Tensor:
        return frames  # the model's own preprocessing makes no rows by frame

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        images = [Image.fromarray(frame) for frame in frames.permute(0, 2, 3, 1).contiguous().numpy()]
        return self._finished(self.model.encode_document(images, **self._settings), "frames")

    def embed_windows(self, frames: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"projected": frames[windows].mean(dim=1)}

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        return self._finished(self.model.encode_query(list(texts), **self._settings), "texts")

    @property
    def _settings(self) -> dict[str, Any]:
        return {"batch_size": _AT_ONCE, "convert_to_tensor": True, "show_progress_bar": False}

    def _finished(self, embeds: torch.Tensor, what: str) -> torch.Tensor:
        embeds = finite(embeds.float().cpu(), what)
        return F.normalize(embeds, dim=-1) if self.unit_texts else embeds

    def describe(self) -> dict[str, str | None]:
        model = self.model
        prompts = {**model.prompts, "default": model.default_prompt_name}
        about = [self._modules(), prompts, model.similarity_fn_name, model.truncate_dim, model.max_seq_length]
        about.append(getattr(self.processor, "chat_template", None))
        return super().describe() | {"modules_sha256": digest_of_settings(about)}

    def frame_protocol(self) -> dict[str, str]:
        images = getattr(self.processor, "image_processor", self.processor)
        names = [name for name in ("document", "passage", "corpus") if name in self.model.prompts]
        return super().frame_protocol() | {
            "frame_preprocessing": settings_of(images),
            "frame_prompt": self._prompt(names[0]) if names else "none",
            "modules": "; ".join(self._modules()),
            "similarity": str(self.model.similarity_fn_name),
        }

    def text_protocol(self, texts: Sequence[str]) -> dict[str, str | int]:
        longest = self.model.max_seq_length
        prompt = self._prompt("query") if "query" in self.model.prompts else "none"
        return {"text_max_tokens": "no limit" if longest is None else longest, "text_prompt": prompt}

    def _prompt(self, name: str) -> str:
        return f"{name}: {self.model.prompts[name]!r}"

    def _modules(self) -> list[str]:
        """What they are set to."""
        return [
            f"{type(module).__name__} {module.get_config_dict() if hasattr(module, 'get_config_dict') else ''}".strip()
            for module in self.model
        ]


def load(name: str, revision: str | None, device: torch.device) -> SentenceTransformersEncoder:
    """
    Returns a model of a folder or Hub id. No code that comes with it is run.

    Raises:
        OSError: there is none.
        ValueError: it lacks weights, comes with code of its own, or does not embed images and texts.
    """
    try:
        with _missing_weights() as missing:
            model = SentenceTransformer(name, device=str(device), revision=revision, trust_remote_code=False)
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ValueError(f"it has no {missing[0]}{more}; copy or download it again")
        return SentenceTransformersEncoder(model.eval())
    except OSError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise ValueError(f"sentence_transformers:{name} cannot be loaded ({type(error).__name__}: {said})") from error


@contextmanager
def _missing_weights() -> Iterator[list[str]]:
    """Collects what transformers makes up where a checkpoint lacks it, of which its report of loading alone tells."""
    missing: list[str] = []

    def look(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "LOAD REPORT" in message:
            missing.extend(re.findall(r"^(\S+)\s*\|[^|\n]*(?:MISSING|MISMATCH)", message, re.MULTILINE))
        return True

    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(look)
    try:
        yield missing
    finally:
        logger.removeFilter(look)
