# SPDX-License-Identifier: Apache-2.0
"""Processor of SurgLIME: clips to pixel values, texts to token ids."""

import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin


class SurgLIMEProcessor(ProcessorMixin):
    """
    Wraps a [`PillowImageProcessor`], which prepares frames one by one, and the tokenizer of PubMedBERT. Texts are cut
    off at the tokenizer's `model_max_length`, 77 tokens with `[CLS]` and `[SEP]`.
    """

    def __init__(self, image_processor=None, tokenizer=None, **kwargs):
        super().__init__(image_processor, tokenizer, **kwargs)

    def __call__(
        self,
        videos=None,
        text: str | list[str] | None = None,
        return_tensors: str = "pt",
        padding: bool | str = True,
        truncation: bool = True,
        max_length: int | None = None,
        **images_kwargs,
    ) -> BatchFeature:
        """
        Returns the model's inputs.

        Args:
            videos: A list of clips. A clip is a list of frames, PIL images or arrays, or a uint8 array or tensor of
                four axes, frames first.
            text: A text or a list of texts.
            return_tensors: `"pt"` or `"np"`.
            padding, truncation, max_length: As in any tokenizer.
            images_kwargs: Further arguments of [`PillowImageProcessor`].

        Returns:
            `pixel_values` of shape `(num_clips, num_frames, 3, 224, 224)` where clips were given; `input_ids`,
            `attention_mask` and `token_type_ids` of shape `(num_texts, num_tokens)` where text was given.

        Raises:
            ValueError: neither clips nor text, text that is none, or clips that differ in number of frames.
        """
        if videos is None and text is None:
            raise ValueError("SurgLIMEProcessor got neither videos nor text, expected at least one of them")
        inputs = {}
        if videos is not None:
            clips = [list(clip) for clip in videos]
            if not clips or not clips[0] or len({len(clip) for clip in clips}) > 1:
                found = [len(clip) for clip in clips]
                raise ValueError(f"clips of {found} frames, expected clips of equally many; take 8 of each")
            frames = [frame for clip in clips for frame in clip]
            pixel_values = self.image_processor(frames, return_tensors="pt", **images_kwargs)["pixel_values"]
            inputs["pixel_values"] = torch.unflatten(pixel_values, 0, (len(clips), len(clips[0])))
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            if wrong := [each for each in texts if not isinstance(each, str)]:
                raise ValueError(f"text has {wrong[0]!r}, expected a text or a list of texts")
            settings = {"padding": padding, "truncation": truncation, "max_length": max_length}
            inputs.update(self.tokenizer(texts, return_tensors=return_tensors, **settings))
        if return_tensors == "np" and videos is not None:
            inputs["pixel_values"] = inputs["pixel_values"].numpy()
        return BatchFeature(inputs)

    @property
    def model_input_names(self) -> list[str]:
        return ["pixel_values", "input_ids", "attention_mask", "token_type_ids"]


SurgLIMEProcessor.register_for_auto_class()

__all__ = ["SurgLIMEProcessor"]
