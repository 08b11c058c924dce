# SPDX-License-Identifier: Apache-2.0
"""`pipeline("zero-shot-video-classification", model=…)`."""

import os
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers.pipelines import Pipeline
from transformers.video_utils import load_video

from .video_inputs import is_clip, middle_indices, split_clips

_TEXTS_AT_ONCE = 256


class ZeroShotVideoClassificationPipeline(Pipeline):
    """
    Zero-shot classification of clips with [`SurgCLIPModel`], after [`ZeroShotImageClassificationPipeline`]. The labels
    are embedded once, not once a clip.

    Example:

    ```python
    >>> import surglavi_hf
    >>> from transformers import pipeline

    >>> classifier = pipeline("zero-shot-video-classification", model="demo/training/model")
    >>> classifier(clip, candidate_labels=["The surgeon works on the liver.", "The surgeon works on the bowel."])
    [{'score': 0.98, 'label': 'The surgeon works on the liver.'}, {'score': 0.02, …}]
    ```"""

    _load_processor = True
    _load_tokenizer = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    _given = {"candidate_labels": None, "hypothesis_template": "{}"}  # unless the caller gives others

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._given = {name: kwargs.get(name, default) for name, default in self._given.items()}
        self.feature_extractor = self.processor.video_processor  # for which transformers puts clips into batches

    def __call__(self, videos: Any, candidate_labels: list[str] | None = None, **kwargs: Any) -> Any:
        """
        Scores the labels for a clip or each of several.

        Args:
            videos: A clip or a list of clips as [`SurgCLIPVideoProcessor`] takes them, a path or URL of a video, or a
                list of these; a generator or a [`torch.utils.data.Dataset`] of clips gives an iterator of results.
            candidate_labels: The labels, unless the pipeline was made with some.
            hypothesis_template: What a label is put into, `"{}"` by default.
            batch_size: Clips encoded at a time, 1 by default.

        Returns:
            A list of `{"score": float, "label": str}`, best first, or for several clips a list of such lists. Scores
            are the softmax of the cosines divided by `temp`.

        Raises:
            FileNotFoundError: there is no such video.
            ValueError: there are no labels, a label is no text, the template has no `{}`, or a video is no clip.
        """
        if candidate_labels is not None:
            kwargs["candidate_labels"] = candidate_labels
        elif self._given["candidate_labels"] is None:
            raise ValueError("candidate_labels is missing, expected a list of labels")
        if isinstance(videos, Dataset) or hasattr(videos, "__next__"):
            return super().__call__(videos, **kwargs)
        results = super().__call__(split_clips(videos), **kwargs)
        return results[0] if is_clip(videos) else results

    def _sanitize_parameters(self, **given):
        if unknown := given.keys() - self._given.keys():
            raise TypeError(f"{type(self).__name__} got an unexpected argument {min(unknown)!r}")
        if not given:
            return {}, {}, {}
        labels, template = (self._given | given).values()
        if not isinstance(template, str) or "{}" not in template:
            raise ValueError(f"hypothesis_template={template!r} has no {{}}, where the label goes")
        if labels is None:
            return {}, {}, {}
        labels = [labels] if isinstance(labels, str) else list(labels)
        if not labels or not all(isinstance(label, str) for label in labels):
            raise ValueError(f"candidate_labels={labels!r}, expected a list of labels")
        text_embeds = self._embed([template.replace("{}", label) for label in labels])
        return {}, {"text_embeds": text_embeds}, {"candidate_labels": labels}

    @torch.inference_mode()
    def _embed(self, prompts: list[str]) -> torch.Tensor:
        parts = []
        for start in range(0, len(prompts), _TEXTS_AT_ONCE):
            inputs = self.processor(text=prompts[start : start + _TEXTS_AT_ONCE]).to(self.device)
            parts.append(self.model.get_text_features(**inputs, return_dict=True).pooler_output)
        return torch.cat(parts)

    def preprocess(self, video):
        if isinstance(video, (str, os.PathLike)):
            path, num_frames = os.fspath(video), self.processor.video_processor.num_frames
            if not path.startswith(("http://", "https://")) and not os.path.isfile(path):
                raise FileNotFoundError(f"no video at {path}")
            video, _ = load_video(
                path, sample_indices_fn=lambda metadata: middle_indices(metadata.total_num_frames, num_frames)
            )
        return self.processor(videos=[video])

    def _forward(self, model_inputs, text_embeds):
        video_embeds = self.model.get_video_features(**model_inputs, return_dict=True).pooler_output
        return {"logits": video_embeds @ text_embeds.to(video_embeds).T / self.model.temp}

    def postprocess(self, model_outputs, candidate_labels):
        scores = model_outputs["logits"][0].float().softmax(dim=-1).tolist()
        ranked = sorted(zip(scores, candidate_labels, strict=True), key=lambda each: -each[0])
        return [{"score": score, "label": label} for score, label in ranked]

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Saves model and processor, from which [`transformers.pipeline`] makes the pipeline again."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)


__all__ = ["ZeroShotVideoClassificationPipeline"]
