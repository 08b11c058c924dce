# SPDX-License-Identifier: Apache-2.0
"""Processor of SurgVLP, HecVL and PeskaVLP: frames to pixel values, texts to token ids."""

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin


class SurgVLPProcessor(ProcessorMixin):
    """
    Wraps a [`PillowImageProcessor`] and the tokenizer of the BERT, in the released models Bio_ClinicalBERT's. Texts
    are filled up to and cut off at the tokenizer's `model_max_length`, 77 tokens with `[CLS]` and `[SEP]`.
    """

    def __init__(self, image_processor=None, tokenizer=None, **kwargs):
        super().__init__(image_processor, tokenizer, **kwargs)

    def __call__(
        self,
        images=None,
        text: str | list[str] | None = None,
        return_tensors: str = "pt",
        padding: bool | str = "max_length",
        truncation: bool = True,
        max_length: int | None = None,
        **images_kwargs,
    ) -> BatchFeature:
        """
        Returns the model's inputs.

        Args:
            images: A frame or a list of frames: PIL images, or uint8 arrays or tensors of three axes.
            text: A text or a list of texts.
            return_tensors: `"pt"` or `"np"`.
            padding, truncation, max_length: As in any tokenizer.
            images_kwargs: Further arguments of [`PillowImageProcessor`].

        Returns:
            `pixel_values` of shape `(num_images, 3, 224, 224)` where images were given; `input_ids`,
            `attention_mask` and `token_type_ids` of shape `(num_texts, 77)` where text was given.

        Raises:
            ValueError: neither images nor text, or text that is none.
        """
        if images is None and text is None:
            raise ValueError("SurgVLPProcessor got neither images nor text, expected at least one of them")
        inputs = {}
        if images is not None:
            inputs.update(self.image_processor(images, return_tensors=return_tensors, **images_kwargs))
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            if wrong := [each for each in texts if not isinstance(each, str)]:
                raise ValueError(f"text has {wrong[0]!r}, expected a text or a list of texts")
            settings = {"padding": padding, "truncation": truncation, "max_length": max_length}
            inputs.update(self.tokenizer(texts, return_tensors=return_tensors, **settings))
        return BatchFeature(inputs)

    @property
    def model_input_names(self) -> list[str]:
        return ["pixel_values", "input_ids", "attention_mask", "token_type_ids"]


SurgVLPProcessor.register_for_auto_class()

__all__ = ["SurgVLPProcessor"]
