# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint of a known family to a folder for `from_pretrained`."""

import os
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModel, PreTrainedTokenizerBase
from transformers.modeling_utils import PreTrainedModel

from ..surgclip import (
    HUB_MODEL,
    check_names_and_shapes,
    check_values,
    convert_surgclip_checkpoint,
    load_plain,
    load_tokenizer,
    new_model_folder,
    save_converted,
    sha256_of,
)
from .endofm import FAMILY as ENDOFM
from .family import Family, StateDict
from .lemonfm import FAMILY as LEMONFM
from .plstitch import FAMILY as PLSTITCH
from .surgenet import CAFORMER as SURGENET_CAFORMER
from .surgenet import CONVNEXT as SURGENET_CONVNEXT
from .surgenet import PVT as SURGENET_PVT
from .surglime import FAMILY as SURGLIME
from .surgvlp import FAMILY as SURGVLP

FAMILIES = (SURGVLP, LEMONFM, PLSTITCH, SURGENET_CAFORMER, SURGENET_CONVNEXT, SURGENET_PVT, ENDOFM, SURGLIME)
_SURGCLIP = (r"vision_encoder\.model\.", r"text_encoder\.(bert\.)?embeddings\.")  # which has a converter of its own
_LEVELS = ("model", "state_dict", "module", "_orig_mod")  # that training puts around weights
_DEEPEST = 5


def convert_checkpoint(
    checkpoint_path: str | os.PathLike,
    output_dir: str | os.PathLike,
    tokenizer: str | os.PathLike | PreTrainedTokenizerBase | None = None,
    revision: str | None = None,
) -> Path:
    """
    Writes a released checkpoint of a surgical model as a folder for `from_pretrained`: config, weights (safetensors),
    processor and a card with the licence of its authors. The family is recognised from the names of the weights.
    Returns the folder.

    Args:
        checkpoint_path: A file of `torch.save`. It is read with `weights_only=True`: one that would run code is
            refused.
        output_dir: Folder to write; must not exist or be empty.
        tokenizer: The tokenizer it was trained with, or its folder or Hub id; by default the family's, from the Hub.
        revision: Commit of the Hub repository that the checkpoint is of, for the card.

    Raises:
        FileNotFoundError: there is no checkpoint.
        FileExistsError: `output_dir` has files in it.
        OSError: there is no such tokenizer.
        ValueError: the file holds no weights, they are of no known family, or of several; a weight is missing,
            unknown, of another shape or not finite; or the tokenizer has another vocabulary. Nothing is written then.
    """
    checkpoint_path, output_dir = Path(checkpoint_path), Path(output_dir).resolve()
    if not checkpoint_path.is_file():
        raise FileNotFoundError(
            f"no checkpoint at {checkpoint_path}; download surgclip_beta.pth of {HUB_MODEL}, or another model's"
        )
    weights = read_weights(checkpoint_path)
    family = recognise(checkpoint_path, weights)
    if family is None:
        given = {} if tokenizer is None else {"tokenizer": tokenizer}
        return convert_surgclip_checkpoint(checkpoint_path, output_dir, revision=revision, **given)
    if tokenizer is not None and family.tokenizer is None:
        raise ValueError(f"{checkpoint_path} is of {family.name}, which reads no texts; leave the tokenizer out")
    with new_model_folder(output_dir) as folder:
        model, state_dict = _converted(family, checkpoint_path, weights)
        processor = family.processor(model.config, _tokenizer(family, model, tokenizer))
        origin = {
            "family": family.name,
            "repository": family.repository,
            "paper": family.paper,
            "source": f"`{checkpoint_path.name}`" + (f" at commit `{revision}`" if revision else ""),
            "sha256": sha256_of(checkpoint_path),
            "parameters": f"{model.num_parameters():,}",
            "licence": family.licence.name,
            "licence_words": family.licence.words,
            "sharing": family.licence.sharing,
            "input": family.input,
            "output": family.output,
        }
        save_converted(folder, model, state_dict, processor, origin, card(origin, output_dir.name))
    return output_dir


def read_weights(path: Path) -> StateDict:
    """
    Returns all tensors of a checkpoint by name. Levels around them, such as "teacher", come before the name and a dot,
    those that say nothing, such as "state_dict", do not. What is no tensor is left out.

    Raises:
        ValueError: there is none, a name is there twice, or code is needed to read it.
    """
    weights: StateDict = {}

    def add(prefix: str, content: object, depth: int) -> None:
        if isinstance(content, torch.Tensor):
            name = ".".join(part for part in prefix.split(".") if part not in ("module", "_orig_mod"))
            if name in weights:
                raise ValueError(f"{path} holds {name!r} twice, expected each parameter once")
            weights[name] = content
        elif isinstance(content, Mapping) and depth < _DEEPEST:
            for key, value in content.items():
                if isinstance(key, str):
                    inside = key if not prefix else f"{prefix}.{key}"
                    add(prefix if key in _LEVELS and isinstance(value, Mapping) else inside, value, depth + 1)

    found = load_plain(path)
    if isinstance(found, Mapping):
        add("", found, 0)
    if not weights:
        raise ValueError(f"{path} holds a {type(found).__name__} without weights, expected a state dictionary")
    return weights


def recognise(path: Path, weights: Mapping[str, torch.Tensor]) -> Family | None:
    """
    Returns the family of a checkpoint; None for SurgCLIP.

    Raises:
        ValueError: it is of none, or of parts of several.
    """
    known = {family.name: family for family in FAMILIES}
    others = [name for name, family in known.items() if family.absent and _names(weights, family.absent)]
    parts = {name: family.parts for name, family in known.items()} | {"SurgCLIP": _SURGCLIP}
    found = {
        name: [_names(weights, part) for part in patterns] for name, patterns in parts.items() if name not in others
    }
    begun = [name for name, keys in found.items() if any(keys)]
    whole = [name for name in begun if all(found[name])]
    if len(whole) == 1 or len(begun) == 1:
        return known.get((whole or begun)[0])
    if not begun:
        first = ", ".join(repr(key) for key in list(weights)[:3])
        expected = "; ".join(f"{name} ({_as_words(patterns)})" for name, patterns in parts.items())
        raise ValueError(f"{path} is of no known family: found {first}; expected the weights of {expected}")
    mixed = "; ".join(f"{next(keys[0] for keys in found[name] if keys)!r} of {name}" for name in begun)
    raise ValueError(f"{path} mixes families: found {mixed}; expected one that is whole")


def card(origin: Mapping[str, str], repo_id: str) -> str:
    """Returns the card of a converted model, from what `conversion.json` says of it."""
    template = Template((files("surglavi_hf.model_card") / "comparator.md").read_text(encoding="utf-8"))
    return template.substitute(origin, repo_id=repo_id, results="")


def _converted(family: Family, path: Path, weights: StateDict) -> tuple[PreTrainedModel, StateDict]:
    """The model, on the device "meta", and what it is made of."""
    needed = {name: tensor for name, tensor in weights.items() if not re.fullmatch(family.left_out, name)}
    try:
        config, state_dict = family.convert(needed)
        if not hasattr(config, "num_frames"):
            config.num_frames = 1  # a model of single frames: evaluation shows it no window of them
        with torch.device("meta"):
            model = AutoModel.from_config(config)
    except (KeyError, IndexError) as error:
        raise ValueError(f"{path} is no whole {family.name}: no {error.args[0]}; download it again") from error
    except (ValueError, TypeError, RuntimeError, ArithmeticError, StrictDataclassError) as error:  # odd shapes
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is no whole {family.name}: {reason}; download it again") from error
    expected = model.state_dict()
    try:
        check_names_and_shapes(path, state_dict, expected)
    except ValueError as error:
        raise ValueError(f"{error} (as {family.name})") from error
    counters = [name for name, tensor in expected.items() if not tensor.is_floating_point()]
    check_values(path, {name: tensor for name, tensor in state_dict.items() if name not in counters})
    return model, state_dict


def _tokenizer(
    family: Family, model: PreTrainedModel, tokenizer: str | os.PathLike | PreTrainedTokenizerBase | None
) -> PreTrainedTokenizerBase | None:
    if family.tokenizer is None:
        return None
    if tokenizer is None or isinstance(tokenizer, (str, os.PathLike)):
        tokenizer = load_tokenizer(tokenizer or family.tokenizer)
    expected = model.config.text_config.vocab_size
    if len(tokenizer) != expected:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} wordpieces, expected {expected} as the text encoder; name the "
            "tokenizer it was trained with"
        )
    return tokenizer


def _names(weights: Mapping[str, torch.Tensor], pattern: str) -> list[str]:
    return [name for name in weights if re.match(pattern, name)]


def _as_words(patterns: tuple[str, ...]) -> str:
    """How names of a family begin: by its first pattern, without what may be absent."""
    return re.sub(r"\([^)]*\)\?|\\", "", patterns[0]) + "…"
