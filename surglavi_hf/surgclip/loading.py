# SPDX-License-Identifier: Apache-2.0
"""Models of which every weight is there, and no code but the installed one; what is damaged is named."""

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModel, AutoProcessor, AutoTokenizer
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

# What checkpoints of classifiers and of masked training have beside an encoder.
_HEADS = re.compile(r"((classifier|decoder|encoder_to_decoder|fc_norm|pooler)\.|(\w+\.embeddings\.)?mask_token$)")
_REMEDY = "copy or download it again"


def load_whole(name: str | os.PathLike, heads: bool = False, **kwargs: Any) -> PreTrainedModel:
    """
    Returns the model of a folder or Hub id, where transformers alone would go on with new, random weights for those it
    does not find. Code that comes with a model is not run, and nobody is asked whether to.

    Args:
        name: A folder or Hub id.
        heads: Leave what a checkpoint has of heads, which the model has not.
        kwargs: Of `AutoModel.from_pretrained`.

    Raises:
        OSError: there is none.
        ValueError: weights are missing, unknown, of another shape or in a damaged file, or it needs code of its own.
    """
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_no_report)
    try:
        with naming(name, "model"):
            model, info = AutoModel.from_pretrained(
                name, trust_remote_code=False, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
            )
    finally:
        logger.removeFilter(_is_no_report)
    problems = [f"no {key}" for key in sorted(info["missing_keys"])]
    unknown = sorted(key for key in info["unexpected_keys"] if not (heads and _HEADS.match(key)))
    problems += [f"unknown {key}" for key in unknown]
    problems += [
        f"{key} of shape {tuple(found)} instead of {tuple(expected)}"
        for key, found, expected in sorted(info["mismatched_keys"])
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(f"the weights of {name} do not fit its config: {'; '.join(problems[:3])}{more}; {_REMEDY}")
    return model


def load_config(name: str | os.PathLike, revision: str | None = None) -> PreTrainedConfig:
    """Returns the config of a folder or Hub id. Raises OSError where there is none, ValueError where it is damaged."""
    with naming(name, "config"):
        return AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)


def load_processor(name: str | os.PathLike, revision: str | None = None) -> ProcessorMixin | PreTrainedTokenizerBase:
    """
    Returns the processor of a folder or Hub id, or its tokenizer where that is all it has.

    Raises:
        OSError: there is none.
        ValueError: it is damaged, or has no tokenizer.
    """
    with naming(name, "processor"):
        return AutoProcessor.from_pretrained(name, revision=revision, trust_remote_code=False)


def load_tokenizer(name: str | os.PathLike, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Returns the tokenizer of a folder or Hub id. Raises OSError or ValueError where there is no whole one."""
    with naming(name, "tokenizer"):
        return AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)


@contextmanager
def naming(name: str | os.PathLike, what: str) -> Iterator[None]:
    """Says of which model's folder, and where it can be found of which file, transformers and its libraries speak."""
    try:
        yield
    except OSError:  # which name it
        raise
    except SafetensorError as error:
        raise ValueError(f"{_damaged_weights(name)} is damaged or cut short ({error}); {_REMEDY}") from error
    except Exception as error:
        said = " ".join(str(error).split())
        if "trust_remote_code" in said:
            said = (
                f"{name} comes with code of its own, which is not run; expected a SurgCLIP or a model of transformers"
            )
        elif missing := re.search(r"requires the (\w+) library but it was not found", said):
            library = missing[1].lower()
            said = f"{name} needs the package {library}, which is not installed; pip install {library}"
        elif "backend tokenizer" in said:  # what it says is of sentencepiece
            said = f"{name} has no tokenizer; save one beside the weights"
        elif (path := _damaged_json(name)) is not None:
            said = f"{path} is no JSON object; {_REMEDY}"
        elif not isinstance(error, ValueError) or str(name) not in said:
            said = said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"
            said = f"the {what} of {name} cannot be read ({said}); {_REMEDY}"
        raise ValueError(said) from error


def _is_no_report(record: logging.LogRecord) -> bool:
    """Whether a message is not the table of what `load_whole` says in one line."""
    return "LOAD REPORT" not in record.getMessage()


def _damaged_weights(name: str | os.PathLike) -> str | os.PathLike:
    """The file of a folder that cannot be read; the name where it is not found."""
    for path in sorted(Path(name).glob("*.safetensors")):
        try:
            with safe_open(path, "pt"):
                pass
        except SafetensorError:
            return path
    return name


def _damaged_json(name: str | os.PathLike) -> Path | None:
    """The file of a folder that is no JSON object, if there is one."""
    for path in sorted(Path(name).glob("*.json")):
        try:
            if isinstance(json.loads(path.read_bytes()), dict):
                continue
        except (ValueError, RecursionError):
            pass
        return path
    return None


__all__ = ["load_config", "load_processor", "load_tokenizer", "load_whole"]
