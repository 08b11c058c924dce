# SPDX-License-Identifier: Apache-2.0
"""What is known of a family of models whose checkpoints can be converted."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from transformers import BertConfig, PreTrainedTokenizerBase
from transformers.configuration_utils import PreTrainedConfig
from transformers.image_processing_base import ImageProcessingMixin
from transformers.processing_utils import ProcessorMixin

StateDict: TypeAlias = dict[str, torch.Tensor]
Processor: TypeAlias = ProcessorMixin | ImageProcessingMixin

_HEAD_SIZE = 64  # of BERT in all its sizes
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True)
class Licence:
    """
    Args:
        name: As the Hub's cards have it, such as "cc-by-nc-sa-4.0", or "unknown".
        words: What the authors say, and where.
        sharing: Whether converted weights may be given on; "no" where derivatives are forbidden, or no licence is
            known.
    """

    name: str
    words: str
    sharing: Literal["yes", "no"]


@dataclass(frozen=True)
class Family:
    """
    Args:
        name: For people.
        parts: Patterns of the beginnings of names of weights, each of which a whole checkpoint has.
        left_out: Pattern of names that the model does not need, such as heads of pre-training.
        convert: From the weights that are needed to the config and the weights by their names in transformers. Sizes
            are read from the tensors. A name that it does not know it leaves as it is.
        processor: From the config, and the tokenizer where the model reads texts, to the processor.
        tokenizer: Hub id of the tokenizer it was trained with; None of models that read no texts.
        repository: Of the authors' code, on GitHub.
        paper: Its arXiv number.
        licence: Of the weights.
        input: How frames are prepared, in words for the card.
        output: What the model gives, likewise.
        absent: Pattern of names that a checkpoint of it does not have, where those of another family have all its
            parts; None where there is no such family.
    """

    name: str
    parts: tuple[str, ...]
    left_out: str
    convert: Callable[[StateDict], tuple[PreTrainedConfig, StateDict]]
    processor: Callable[[PreTrainedConfig, PreTrainedTokenizerBase | None], Processor]
    tokenizer: str | None
    repository: str
    paper: str
    licence: Licence
    input: str
    output: str
    absent: str | None = None


def renamed(name: str, rules: Mapping[str, str]) -> str:
    """Returns a name by the first rule, a pattern and its replacement, that fits all of it; else as it is."""
    for pattern, replacement in rules.items():
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    return name


def without_prefix(weights: StateDict, prefix: str) -> StateDict:
    """
    Returns weights by their names without what a pattern finds at the beginning.

    Raises:
        ValueError: two have the same name then.
    """
    found: StateDict = {}
    for name, tensor in weights.items():
        short = re.sub(f"^{prefix}", "", name)
        if short in found:
            raise ValueError(f"{short!r} is there twice, expected each weight once")
        found[short] = tensor
    return found


def count(names: Iterable[str], pattern: str) -> int:
    """Returns how many different values the group of a pattern finds at the beginnings of names."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def bert_config(weights: StateDict, at: str = "") -> BertConfig:
    """Returns the sizes of a BERT from its weights, by their names in transformers after `at`."""
    words = weights[f"{at}embeddings.word_embeddings.weight"]
    return BertConfig(
        vocab_size=words.shape[0],
        hidden_size=words.shape[1],
        num_hidden_layers=count(weights, rf"{re.escape(at)}encoder\.layer\.(\d+)\."),
        num_attention_heads=max(1, words.shape[1] // _HEAD_SIZE),
        intermediate_size=len(weights[f"{at}encoder.layer.0.intermediate.dense.weight"]),
        max_position_embeddings=len(weights[f"{at}embeddings.position_embeddings.weight"]),
        type_vocab_size=len(weights[f"{at}embeddings.token_type_embeddings.weight"]),
    )
