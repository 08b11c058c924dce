# SPDX-License-Identifier: Apache-2.0
"""Models of which every weight is there, and no code but the installed one."""

import logging
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import AutoModel
from transformers.modeling_utils import PreTrainedModel


def load_whole(name: str | os.PathLike, **kwargs: Any) -> PreTrainedModel:
    """
    Returns the model of a folder or Hub id, where transformers alone would go on with new, random weights for those it
    does not find. Code that comes with a model is not run, and nobody is asked whether to.

    Args:
        name: A folder or Hub id.
        kwargs: Of `AutoModel.from_pretrained`.

    Raises:
        OSError: there is none.
        ValueError: weights are missing, unknown, of another shape or in a damaged file, or it needs code of its own.
    """
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_no_report)
    try:
        model, info = AutoModel.from_pretrained(
            name, trust_remote_code=False, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
        )
    except SafetensorError as error:
        raise ValueError(f"{_damaged(name)} is damaged or cut short ({error}); copy or download it again") from error
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise ValueError(
                f"{name} comes with code of its own, which is not run; expected a SurgCLIP or a model of transformers"
            ) from error
        raise
    finally:
        logger.removeFilter(_is_no_report)
    problems = [f"no {key}" for key in sorted(info["missing_keys"])]
    problems += [f"unknown {key}" for key in sorted(info["unexpected_keys"])]
    problems += [
        f"{key} of shape {tuple(found)} instead of {tuple(expected)}"
        for key, found, expected in sorted(info["mismatched_keys"])
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"the weights of {name} do not fit its config: {'; '.join(problems[:3])}{more}; copy or download it again"
        )
    return model


def _is_no_report(record: logging.LogRecord) -> bool:
    """Whether a message is not the table of what `load_whole` says in one line."""
    return "LOAD REPORT" not in record.getMessage()


def _damaged(name: str | os.PathLike) -> str | os.PathLike:
    """The file of a folder that cannot be read; the name where it is not found."""
    for path in sorted(Path(name).glob("*.safetensors")):
        try:
            with safe_open(path, "pt"):
                pass
        except SafetensorError:
            return path
    return name


__all__ = ["load_whole"]
