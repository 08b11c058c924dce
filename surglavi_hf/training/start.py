# SPDX-License-Identifier: Apache-2.0
"""The model and processor a run starts from."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import normalizers, pre_tokenizers
from transformers import BertTokenizer
from transformers.utils.hub import resolve_revision

from ..surgclip import (
    SurgCLIPConfig,
    SurgCLIPModel,
    SurgCLIPProcessor,
    SurgCLIPVideoProcessor,
    clean_caption,
    load_config,
    load_processor,
    load_whole,
)
from .config import REVISION_OF, TrainingConfig

IMAGE_SIZE = 48
NUM_FRAMES = 6


def with_commits(config: TrainingConfig) -> TrainingConfig:
    """
    Returns the settings with the commits on the Hub that the weights to start from and the captions are of now, so
    that a run which is resumed, and whoever reads its settings, has the same.

    Raises:
        ValueError: a revision of a folder is asked for.
    """
    commits = {}
    for name, revision in REVISION_OF.items():
        source, asked = getattr(config, name), getattr(config, revision)
        if not source:
            continue
        if asked and Path(source).is_dir():
            raise ValueError(f"{revision}={asked}, but {name} {source} is a folder, which has none; leave it out")
        kind = "dataset" if name == "dataset_name" else "model"
        commits[revision] = getattr(resolve_revision(source, asked, repo_type=kind), "resolved", asked)
    return replace(config, **commits)


def start(
    model_name_or_path: str | None,
    encoders: tuple[str, str] | None,
    num_frames: int | None,
    captions: Iterable[str],
    model_revision: str | None = None,
    encoder_revisions: tuple[str | None, str | None] = (None, None),
) -> tuple[SurgCLIPModel, SurgCLIPProcessor]:
    """
    Returns the model and processor to train: those named, or made from two `encoders`, of video and of text, or new
    tiny ones where none is given. `num_frames` is what the processor samples from a clip, if not what it does anyway.
    """
    if encoders is not None:
        options = {"num_frames": num_frames} if num_frames else {}
        options |= dict(zip(("vision_revision", "text_revision"), encoder_revisions, strict=True))
        return SurgCLIPModel.from_encoders(*encoders, **options), SurgCLIPProcessor.from_encoders(*encoders, **options)
    if model_name_or_path is None:
        return new_tiny_model(captions, num_frames or NUM_FRAMES)
    model, processor = load_model(model_name_or_path, model_revision)
    processor.video_processor.num_frames = num_frames or processor.video_processor.num_frames
    return model, processor


def start_from(
    model: SurgCLIPModel, processor: SurgCLIPProcessor, num_frames: int | None
) -> tuple[SurgCLIPModel, SurgCLIPProcessor]:
    """Returns a model and its processor as [`start`] does; the model itself is trained, in single precision."""
    for given, kind in ((model, SurgCLIPModel), (processor, SurgCLIPProcessor)):
        if not isinstance(given, kind):
            raise ValueError(f"a {type(given).__name__} cannot be trained, expected a {kind.__name__}")
    processor.video_processor.num_frames = num_frames or processor.video_processor.num_frames
    return model.float(), processor


def load_model(model_name_or_path: str, revision: str | None = None) -> tuple[SurgCLIPModel, SurgCLIPProcessor]:
    """
    Returns the SurgCLIP model and processor saved in a folder or under a Hub id.

    Raises:
        OSError: there is none, or no processor.
        ValueError: it is another model, has no tokenizer, is damaged, or its weights do not fit its config.
    """
    config = load_config(model_name_or_path, revision)
    if not isinstance(config, SurgCLIPConfig):
        raise ValueError(f"{model_name_or_path} is a {config.model_type} model, expected a SurgCLIP folder or Hub id")
    processor = load_processor(model_name_or_path, revision)
    if not isinstance(processor, SurgCLIPProcessor):
        kind = type(processor).__name__
        raise ValueError(f"{model_name_or_path} has a {kind} only; save a SurgCLIPProcessor beside the weights")
    # AdamW needs single precision, whatever the weights were saved in.
    return load_whole(model_name_or_path, revision=revision, dtype=torch.float32), processor


def new_tiny_model(captions: Iterable[str], num_frames: int = NUM_FRAMES) -> tuple[SurgCLIPModel, SurgCLIPProcessor]:
    """Returns an untrained SurgCLIP of 1 million parameters with a wordpiece vocabulary learned from `captions`."""
    tokenizer = learn_tokenizer(captions)
    hidden = {
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_attention_heads": 4,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.1,  # hidden_size ** -0.5; the 0.02 of BERT and ViT suits a width of 768
    }
    config = SurgCLIPConfig(
        vision_config={
            **hidden,
            "drop_path_rate": 0.0,
            "image_size": IMAGE_SIZE,
            "patch_size": 16,
            "num_frames": num_frames,
            "num_hidden_layers": 3,
        },
        text_config={
            **hidden,
            "vocab_size": len(tokenizer),
            "num_hidden_layers": 2,
            "max_position_embeddings": 80,
        },
        projection_dim=64,
    )
    video_processor = SurgCLIPVideoProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, num_frames=num_frames)
    model = SurgCLIPModel(config)
    # As loud as the patches: a time embedding that starts small leaves the order of frames unlearned for long.
    torch.nn.init.normal_(model.vision_encoder.model.time_embed)
    return model, SurgCLIPProcessor(video_processor, tokenizer)


def learn_tokenizer(captions: Iterable[str], vocab_size: int = 8192) -> BertTokenizer:
    """
    Returns an uncased BERT tokenizer for `captions`, cleaned as the processor does. Its wordpieces are the letters and
    the most frequent words: the same on every process and in every run, which a trained WordPiece model is not.
    """
    normalizer, pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(
        word
        for caption in captions
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(clean_caption(caption)))
    )
    words = sorted(counts, key=lambda word: (-counts[word], word))
    letters = sorted({letter for word in words for letter in word})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *words])
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(list(pieces)[:vocab_size])})
