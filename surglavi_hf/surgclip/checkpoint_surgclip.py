# SPDX-License-Identifier: Apache-2.0
"""Reads a released SurgCLIP checkpoint, and trusts nothing in it."""

import re
import zipfile
from pathlib import Path

import torch
from transformers.utils.hub import cached_file, extract_commit_hash

HUB_MODEL = "aleperez24/SurgCLIP"
HUB_FILE = "surgclip_beta.pth"

_LEVELS = ("model", "state_dict")  # training scripts put the weights one level down
_WRAPPERS = ("module", "_orig_mod")  # of DistributedDataParallel and torch.compile
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_UNUSED = re.compile(r"text_encoder\.embeddings\.position_ids|itm_head\..*")


class _Setting:
    """Stands for a setting of the training that a checkpoint holds beside its weights; it is made of nothing."""

    def __init__(self, *content: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


# Options of a command and figures of a schedule, which DINO and what is derived of it save, too.
_SETTINGS = ("argparse.Namespace", "numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")


def download_surgclip_checkpoint(revision: str = "main") -> tuple[Path, str | None]:
    """
    Returns the released checkpoint, downloaded once from the Hub, and the commit it is of.

    Args:
        revision: A commit of the Hub repository, or a branch or tag, which may change.

    Raises:
        OSError: the Hub cannot be reached and the file is not in its cache, or there is no such revision.
    """
    path = cached_file(HUB_MODEL, HUB_FILE, revision=revision)
    return Path(path), extract_commit_hash(path, None)


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """
    Returns the weights under their released names.

    Prefixes that training adds (`module.`, `_orig_mod.`), a level `model` or `state_dict`, and `text_encoder.bert.`
    are taken away; `itm_head` and `position_ids`, which the model does not have, are left out.

    Raises:
        ValueError: it is no state dictionary of tensors, or needs code to be read.
    """
    found = load_plain(path)
    for level in (*_LEVELS, *_LEVELS):  # in either order
        found = found[level] if isinstance(found, dict) and level in found else found
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path} holds a {type(found).__name__} without weights, expected a state dictionary")
    state_dict = {}
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{path} holds a {type(tensor).__name__} as {name!r}, expected tensors by name")
        released = _released_name(name)
        if _UNUSED.fullmatch(released):
            continue
        if released in state_dict:
            raise ValueError(f"{path} holds {released!r} twice, expected each parameter once")
        state_dict[released] = tensor
    return state_dict


def check_names_and_shapes(path: Path, found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """
    Compares a checkpoint with the model it is for.

    Raises:
        ValueError: parameters are missing, unknown or of another shape. The message names the first three.
    """
    problems = [f"no {name}" for name in expected if name not in found]
    problems += [f"unknown {name!r}" for name in found if name not in expected]
    problems += [
        f"{name} of shape {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"{path} does not fit the config: {'; '.join(problems[:3])}{more}; pass the config it was made with"
        )


def check_values(path: Path, state_dict: dict[str, torch.Tensor]) -> None:
    """
    Looks at every weight. Shapes come first: a small file can claim a tensor that no memory holds.

    Raises:
        ValueError: one is not of plain floating point, or holds NaN or infinity.
    """
    for name, tensor in state_dict.items():
        if tensor.dtype not in _DTYPES or tensor.layout != torch.strided or tensor.is_meta:
            raise ValueError(f"{path} holds {name} as {tensor.dtype}, {tensor.layout}, expected plain floating point")
        if not tensor.isfinite().all():
            raise ValueError(f"{path} holds NaN or infinity in {name}, expected finite weights; download it again")


def load_plain(path: Path) -> object:
    """
    Returns what a file of torch.save holds, without running code that it names. Tensors stay in the file until they
    are read. Of an `argparse.Namespace` or a number of NumPy, which are settings of the training, nothing is read.

    Raises:
        ValueError: it is none, or needs code to be read.
    """
    try:
        # Only files of the present form, which are ZIP archives, can be mapped.
        with torch.serialization.safe_globals([(_Setting, name) for name in _SETTINGS]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # pickle, zip and torch each raise their own, and torch advises to run the code
        if needed := re.search(r"GLOBAL (\S+)", str(error)):
            reason = f"it needs {needed[1]}, and no code that a checkpoint names is run; save its tensors alone"
        else:
            reason = f"it is cut short, holds more than tensors, or is no file of torch.save ({type(error).__name__})"
        raise ValueError(f"{path} cannot be read as plain weights: {reason}") from error


def _released_name(name: str) -> str:
    name = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
    return re.sub(r"^text_encoder\.bert\.", "text_encoder.", name)
