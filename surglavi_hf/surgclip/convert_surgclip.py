# SPDX-License-Identifier: Apache-2.0
"""From a released SurgCLIP checkpoint to a folder for `from_pretrained`."""

import os
import shutil
import tempfile
from pathlib import Path

import torch

from .configuration_surgclip import SurgCLIPConfig
from .modeling_surgclip import SurgCLIPModel
from .video_processing_surgclip import SurgCLIPVideoProcessor


def convert_surgclip_checkpoint(
    checkpoint_path: str | os.PathLike, output_dir: str | os.PathLike, config: SurgCLIPConfig | None = None
) -> Path:
    """
    Writes the config, the weights (safetensors) and the video processor of a released checkpoint; returns the folder.

    Args:
        checkpoint_path: A state dictionary with the released parameter names, such as `surgclip_beta.pth`. It is read
            with `weights_only=True`: a pickle that would run code is refused.
        output_dir: Folder to write; must not exist or be empty.
        config: Sizes of the model, SurgCLIP-B by default. Its vision layout must be "released".

    Raises:
        FileNotFoundError: there is no checkpoint.
        FileExistsError: `output_dir` has files in it.
        ValueError: the file is no such state dictionary, or a parameter is missing, unknown or of another shape.
    """
    checkpoint_path, output_dir = Path(checkpoint_path), Path(output_dir)
    config = config or SurgCLIPConfig()
    if config.vision_config.layout != "released":
        raise ValueError(
            f"vision_config.layout={config.vision_config.layout!r}, but released weights need layout='released'"
        )
    if not checkpoint_path.is_file():
        raise FileNotFoundError(
            f"no checkpoint at {checkpoint_path}; download surgclip_beta.pth of aleperez24/SurgCLIP"
        )
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise FileExistsError(f"{output_dir} is not empty; name a new folder, or empty this one")
    state_dict = _read(checkpoint_path)
    model = SurgCLIPModel(config)
    _check_names(checkpoint_path, state_dict, model.state_dict())
    model.load_state_dict(state_dict)

    size = {"height": config.vision_config.image_size, "width": config.vision_config.image_size}
    video_processor = SurgCLIPVideoProcessor(size=size, num_frames=config.vision_config.num_frames)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{output_dir.name}-", dir=output_dir.parent))
    try:
        model.save_pretrained(beside)
        video_processor.save_pretrained(beside)
        beside.chmod(0o755)  # mkdtemp's 0o700 would shut others out
        beside.rename(output_dir)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return output_dir


def _read(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each raise their own
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ValueError(f"{path} cannot be read as plain weights ({reason}); download it again") from error


def _check_names(path: Path, found: object, expected: dict[str, torch.Tensor]) -> None:
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError(f"{path} holds a {type(found).__name__}, expected a state dictionary of tensors")
    problems = [f"no {name}" for name in expected if name not in found]
    problems += [f"unknown {name}" for name in found if name not in expected]
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
