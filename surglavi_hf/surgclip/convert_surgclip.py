# SPDX-License-Identifier: Apache-2.0
"""From a released SurgCLIP checkpoint to a folder for `from_pretrained`."""

import os
from importlib.resources import files
from pathlib import Path
from string import Template

import torch
from transformers import PreTrainedTokenizerFast

from .checkpoint_surgclip import HUB_MODEL, check_names_and_shapes, check_values, read_state_dict
from .configuration_surgclip import SurgCLIPConfig
from .loading import load_tokenizer
from .model_folder import new_model_folder, save_converted, sha256_of
from .modeling_surgclip import SurgCLIPModel
from .processing_surgclip import SurgCLIPProcessor
from .video_processing_surgclip import SurgCLIPVideoProcessor

TOKENIZER = "google-bert/bert-base-uncased"  # as the released code has it


def convert_surgclip_checkpoint(
    checkpoint_path: str | os.PathLike,
    output_dir: str | os.PathLike,
    config: SurgCLIPConfig | None = None,
    tokenizer: str | os.PathLike | PreTrainedTokenizerFast = TOKENIZER,
    revision: str | None = None,
) -> Path:
    """
    Writes a released checkpoint as a folder for `from_pretrained`: config, weights (safetensors), video processor,
    tokenizer, the code they need and a card. Returns the folder.

    Args:
        checkpoint_path: A state dictionary with the released parameter names, such as `surgclip_beta.pth`. It is read
            with `weights_only=True`: a file that would run code is refused.
        output_dir: Folder to write; must not exist or be empty.
        config: Sizes of the model, by default SurgCLIP-B's, with attention over time where the checkpoint has it. Its
            vision layout must be "released".
        tokenizer: The tokenizer it was trained with, or its folder or Hub id.
        revision: Commit of the Hub repository that the checkpoint is of, for the card.

    Raises:
        FileNotFoundError: there is no checkpoint.
        FileExistsError: `output_dir` has files in it.
        OSError: there is no such tokenizer.
        ValueError: the file is no such state dictionary, a parameter is missing, unknown, of another shape or not
            finite, or the tokenizer has another vocabulary. Nothing is written then.
    """
    checkpoint_path, output_dir = Path(checkpoint_path), Path(output_dir).resolve()
    if config is not None and config.vision_config.layout != "released":
        raise ValueError(
            f"vision_config.layout={config.vision_config.layout!r}, but released weights need layout='released'"
        )
    if not checkpoint_path.is_file():
        raise FileNotFoundError(f"no checkpoint at {checkpoint_path}; download surgclip_beta.pth of {HUB_MODEL}")
    with new_model_folder(output_dir) as folder:
        state_dict = read_state_dict(checkpoint_path)
        config = config or released_config(any(".temporal_attn." in name for name in state_dict))
        with torch.device("meta"):
            model = SurgCLIPModel(config)
        check_names_and_shapes(checkpoint_path, state_dict, model.state_dict())
        check_values(checkpoint_path, state_dict)
        processor = _processor(config, tokenizer)
        origin = _origin(checkpoint_path, model, revision)
        save_converted(folder, model, state_dict, processor, origin, _card(origin, output_dir.name))
    return output_dir


def released_config(divided: bool = True) -> SurgCLIPConfig:
    """The configuration of the released SurgCLIP-B. Source: the config files of the `surgclip` 0.1.0 package."""
    attention_type = "divided_space_time" if divided else "space_only"
    return SurgCLIPConfig(vision_config={"layout": "released", "attention_type": attention_type})


def _processor(config: SurgCLIPConfig, tokenizer: str | os.PathLike | PreTrainedTokenizerFast) -> SurgCLIPProcessor:
    if isinstance(tokenizer, (str, os.PathLike)):
        tokenizer = load_tokenizer(tokenizer)
    if len(tokenizer) != config.text_config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} wordpieces, expected {config.text_config.vocab_size} as the text "
            "encoder; name the tokenizer it was trained with"
        )
    size = {"height": config.vision_config.image_size, "width": config.vision_config.image_size}
    video_processor = SurgCLIPVideoProcessor(size=size, num_frames=config.vision_config.num_frames)
    return SurgCLIPProcessor(video_processor, tokenizer)


def _origin(checkpoint_path: Path, model: SurgCLIPModel, revision: str | None) -> dict[str, str]:
    """What the card says of where the weights are from; kept beside them, to write another card."""
    config = model.config.vision_config
    return {
        "model": HUB_MODEL,
        "source": f"`{checkpoint_path.name}`" + (f" of {HUB_MODEL} at commit `{revision}`" if revision else ""),
        "checked": "" if revision else f"It was a local file; whether it is that of {HUB_MODEL} was not checked.",
        "sha256": sha256_of(checkpoint_path),
        "parameters": f"{model.num_parameters():,}",
        "num_frames": str(config.num_frames),
        "image_size": str(config.image_size),
    }


def _card(origin: dict[str, str], repo_id: str) -> str:
    template = Template((files("surglavi_hf.model_card") / "released.md").read_text(encoding="utf-8"))
    return template.substitute(origin, repo_id=repo_id, results="")
