# SPDX-License-Identifier: Apache-2.0
"""Processor of SurgCLIP: clips to pixel values, captions to token ids."""

import re

from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.video_processing_utils import VideoProcessorMixin

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
        tokenizer: A BERT wordpiece tokenizer. It is made to write `[CLS]` and the wordpieces, without `[SEP]`, as
            SurgCLIP was trained.
        text_preprocess: Clean captions and prompts with [`clean_caption`] before they are tokenized. Saved beside the
            weights, so that both are always treated alike.
    """

    def __init__(self, video_processor, tokenizer: PreTrainedTokenizerFast, text_preprocess: bool = True, **kwargs):
        self.text_preprocess = text_preprocess
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="[CLS] $A", special_tokens=[("[CLS]", tokenizer.cls_token_id)]
        )
        super().__init__(video_processor, tokenizer, **kwargs)

    def __call__(
        self,
        videos=None,
        text: str | list[str] | None = None,
        return_tensors: str = "pt",
        padding: bool | str = True,
        truncation: bool = True,
        max_length: int = MAX_TEXT_LENGTH,
    ) -> BatchFeature:
        """
        Returns the model's inputs.

        Args:
            videos: As [`SurgCLIPVideoProcessor.preprocess`] takes them.
            text: A caption or a list of captions.
            return_tensors: `"pt"` or `"np"`.
            padding, truncation, max_length: As in any tokenizer; by default padded to the longest caption and cut to
                77 tokens, as SurgCLIP was trained.

        Returns:
            `pixel_values` of shape `(num_videos, num_frames, 3, height, width)` where videos were given; `input_ids`
            and `attention_mask` of shape `(num_texts, sequence_length)` where text was given.

        Raises:
            ValueError: neither videos nor text, or a video that is none.
        """
        if videos is None and text is None:
            raise ValueError("SurgCLIPProcessor got neither videos nor text, expected at least one of them")
        inputs = {}
        if videos is not None:
            inputs.update(self.video_processor(videos, return_tensors=return_tensors))
        if text is not None:
            captions = [text] if isinstance(text, str) else list(text)
            if self.text_preprocess:
                captions = [clean_caption(caption) for caption in captions]
            inputs.update(
                self.tokenizer(
                    captions,
                    padding=padding,
                    truncation=truncation,
                    max_length=max_length,
                    return_token_type_ids=False,
                    return_tensors=return_tensors,
                )
            )
        return BatchFeature(inputs)

    def check_argument_for_proper_class(self, argument_name, argument):
        # transformers finds the video processor's base class by a name it only exports where torchvision is installed.
        if argument_name == "video_processor" and isinstance(argument, VideoProcessorMixin):
            return VideoProcessorMixin
        return super().check_argument_for_proper_class(argument_name, argument)

    @property
    def model_input_names(self) -> list[str]:
        return ["pixel_values", "input_ids", "attention_mask"]


__all__ = ["SurgCLIPProcessor", "clean_caption"]
