# SPDX-License-Identifier: Apache-2.0
"""Processor of SurgCLIP: clips to pixel values, captions to token ids."""

import copy
import os
import re
from collections.abc import Iterable, Mapping

from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_processing_base import ImageProcessingMixin
from transformers.processing_utils import ProcessorMixin
from transformers.video_processing_utils import VideoProcessorMixin

from .video_processing_surgclip import SurgCLIPVideoProcessor

MAX_TEXT_LENGTH = 77

_DELETED = re.compile(r"[,.'!?\"()*#:;~]")
_SPACED = re.compile(r"[-/]")


def clean_caption(caption: str) -> str:
    """
    Returns the caption as SurgCLIP was trained to read it: without "The surgeon", lower-case, without punctuation.
    Source: `pre_text` of VindLU and the loader published with SurgLaVi.
    """
    caption = _DELETED.sub("", caption.replace("The surgeon", "").lower())
    return re.sub(r"\s{2,}", " ", _SPACED.sub(" ", caption)).strip()


class SurgCLIPProcessor(ProcessorMixin):
    r"""
    Wraps a [`SurgCLIPVideoProcessor`] and a BERT tokenizer.

    Args:
        video_processor: Makes `pixel_values`.
        tokenizer: A tokenizer of the BERT family. The processor makes one of its wordpieces that writes `[CLS]` and
            at most 76 of them, without `[SEP]`, as SurgCLIP was trained.
        text_preprocess: Clean captions and prompts with [`clean_caption`] before they are tokenized. Saved beside the
            weights, so that both are always treated alike.

    Raises:
        ValueError: the tokenizer has no CLS token, or `text_preprocess` is not a bool.
    """

    def __init__(self, video_processor, tokenizer: PreTrainedTokenizerFast, text_preprocess: bool = True, **kwargs):
        if not isinstance(text_preprocess, bool):
            raise ValueError(f"text_preprocess={text_preprocess!r}, expected True or False")
        self.text_preprocess = text_preprocess
        super().__init__(video_processor, _without_sep(tokenizer), **kwargs)

    @classmethod
    def from_encoders(
        cls,
        vision: str | os.PathLike,
        text: str | os.PathLike,
        num_frames: int = 16,
        vision_revision: str | None = None,
        text_revision: str | None = None,
    ) -> "SurgCLIPProcessor":
        """
        Returns the processor of [`SurgCLIPModel.from_encoders`], with the ViT's size, mean and standard deviation.

        Args:
            vision: Folder or Hub id of a ViT with its image processor.
            text: Folder or Hub id of a text encoder with its tokenizer.
            num_frames: Frames taken from a clip.
            vision_revision, text_revision: Commits, branches or tags on the Hub.

        Raises:
            OSError: there is no such folder or Hub id.
            ValueError: the tokenizer has no CLS token.
        """
        from .loading import load_config, load_tokenizer  # which imports models, and takes seconds

        size = load_config(vision, vision_revision).image_size
        height, width = (size, size) if isinstance(size, int) else size
        settings, _ = ImageProcessingMixin.get_image_processor_dict(vision, revision=vision_revision)
        statistics = {name: settings[name] for name in ("image_mean", "image_std") if name in settings}
        video_processor = SurgCLIPVideoProcessor(
            size={"height": height, "width": width}, num_frames=num_frames, **statistics
        )
        tokenizer = load_tokenizer(text, text_revision)
        return cls(video_processor, tokenizer)

    def __call__(
        self,
        videos=None,
        text: str | list[str] | None = None,
        return_tensors: str = "pt",
        padding: bool | str = True,
        truncation: bool = True,
        max_length: int | None = None,
        **videos_kwargs,
    ) -> BatchFeature:
        """
        Returns the model's inputs.

        Args:
            videos: As [`SurgCLIPVideoProcessor.preprocess`] takes them.
            text: A caption or a list of captions.
            return_tensors: `"pt"` or `"np"`.
            padding, truncation, max_length: As in any tokenizer; by default padded to the longest caption and cut to
                the tokenizer's `model_max_length`, 77 as SurgCLIP was trained.
            videos_kwargs: Further arguments of [`SurgCLIPVideoProcessor.preprocess`], such as `num_frames`.

        Returns:
            `pixel_values` of shape `(num_videos, num_frames, 3, height, width)` where videos were given; `input_ids`
            and `attention_mask` of shape `(num_texts, sequence_length)` where text was given.

        Raises:
            TypeError: an unknown argument.
            ValueError: neither videos nor text, a video that is none, or a caption that is none.
        """
        if videos is None and videos_kwargs:
            raise TypeError(f"SurgCLIPProcessor got {min(videos_kwargs)!r} without videos, expected no such argument")
        if videos is None and text is None:
            raise ValueError("SurgCLIPProcessor got neither videos nor text, expected at least one of them")
        inputs = {}
        if videos is not None:
            inputs.update(self.video_processor(videos, return_tensors=return_tensors, **videos_kwargs))
        if text is not None:
            inputs.update(
                self.tokenizer(
                    self._captions(text),
                    padding=padding,
                    truncation=truncation,
                    max_length=max_length,
                    return_tensors=return_tensors,
                )
            )
        return BatchFeature(inputs)

    def _captions(self, text: str | list[str]) -> list[str]:
        captions = [text] if isinstance(text, str) or not isinstance(text, Iterable) else list(text)
        wrong = [caption for caption in captions if not isinstance(caption, str)]
        if wrong or not captions or isinstance(text, Mapping):
            found = f"{wrong[0]!r}" if wrong else f"{text!r}"
            raise ValueError(f"text has {found}, expected a caption or a list of captions")
        return [clean_caption(caption) for caption in captions] if self.text_preprocess else captions

    def check_argument_for_proper_class(self, argument_name, argument):
        # transformers finds the video processor's base class by a name it only exports where torchvision is installed.
        if argument_name == "video_processor" and isinstance(argument, VideoProcessorMixin):
            return VideoProcessorMixin
        return super().check_argument_for_proper_class(argument_name, argument)

    @property
    def model_input_names(self) -> list[str]:
        return ["pixel_values", "input_ids", "attention_mask"]


def _without_sep(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A tokenizer of the same wordpieces that writes the CLS token and them, at most 77."""
    if getattr(tokenizer, "cls_token", None) is None:
        raise ValueError(f"{type(tokenizer).__name__} has no CLS token, expected a tokenizer of the BERT family")
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.post_processor = TemplateProcessing(
        single=f"{tokenizer.cls_token} $A", special_tokens=[(tokenizer.cls_token, tokenizer.cls_token_id)]
    )
    # Not a BertTokenizer, which writes [SEP] again whenever it is loaded, whatever was saved.
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=min(MAX_TEXT_LENGTH, tokenizer.model_max_length),
        model_input_names=["input_ids", "attention_mask"],
        **tokenizer.special_tokens_map,
    )


SurgCLIPProcessor.register_for_auto_class()

__all__ = ["SurgCLIPProcessor", "clean_caption"]
