# SPDX-License-Identifier: Apache-2.0
"""A folder for `from_pretrained`, written out of the weights of a checkpoint: whole, or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.image_processing_base import ImageProcessingMixin
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import ProcessorMixin

_UNFINISHED = ".unfinished"  # of a folder that is being written


@contextmanager
def new_model_folder(output_dir: str | os.PathLike) -> Iterator[Path]:
    """
    Yields a folder to write to. When the `with` ends, its files are in `output_dir`; where it fails, nothing is.

    Raises:
        FileExistsError: `output_dir` has files in it, or is the working directory.
    """
    output_dir = Path(output_dir).resolve()
    unfinished = output_dir / _UNFINISHED
    if output_dir.is_dir() and list(output_dir.iterdir()) == [unfinished]:
        shutil.rmtree(unfinished)  # of a conversion that was killed
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise FileExistsError(f"{output_dir} is not empty; name a new folder, or empty this one")
    if output_dir == Path.cwd():
        raise FileExistsError(f"{output_dir} is the working directory; name a new folder")
    made = not output_dir.exists()
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        # The config last: without it nothing is loaded.
        for path in sorted(unfinished.iterdir(), key=lambda path: path.name == "config.json"):
            path.rename(output_dir / path.name)
        unfinished.rmdir()
    except BaseException:
        shutil.rmtree(output_dir, ignore_errors=True)
        if not made:
            output_dir.mkdir(exist_ok=True)
        raise


def save_converted(
    folder: Path,
    model: PreTrainedModel,
    state_dict: Mapping[str, torch.Tensor],
    processor: ProcessorMixin | ImageProcessingMixin,
    origin: Mapping[str, Any],
    card: str,
) -> None:
    """
    Writes a model's config, weights, processor, code, card, and `conversion.json`, from which another card can be
    written. Weights that lie in a mapped file are read as they are written.

    Args:
        folder: From [`new_model_folder`].
        model: Without weights: on the device "meta".
        state_dict: All of them, as checked.
        processor: Its processor.
        origin: Where the weights are from.
        card: The content of README.md.
    """
    weights, seen = {}, set()
    for name, tensor in state_dict.items():
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        place = tensor.untyped_storage().data_ptr()
        # Names may share memory in a checkpoint, which safetensors refuses.
        weights[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    model.load_state_dict(weights, assign=True)
    model.save_pretrained(folder, save_original_format=False)  # by the names of the model, not of older versions
    for path in folder.glob("model*.safetensors"):  # which safetensors shuts others out of, whatever the user's mask
        path.chmod((folder / "config.json").stat().st_mode & 0o666)
    processor.save_pretrained(folder)
    (folder / "conversion.json").write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Returns the digest of a file, as `sha256sum` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
