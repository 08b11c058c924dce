# SPDX-License-Identifier: Apache-2.0
"""What of a model is trained, and with which optimizer."""

import torch
from torch import nn

from ..surgclip import SurgCLIPModel


def freeze_layers(model: SurgCLIPModel, num_vision_layers: int, num_text_layers: int) -> None:
    """
    Freezes the first layers of the encoders, and with them the embeddings below.

    Raises:
        ValueError: an encoder has fewer layers.
    """
    vision = model.vision_encoder.model
    _freeze("freeze_vision_layers", [vision.patch_embed], list(vision.blocks), num_vision_layers)
    if num_vision_layers:
        # Its own parameters: those of CLS, positions and, where there is attention over time, times.
        for parameter in vision.parameters(recurse=False):
            parameter.requires_grad_(False)
    layers = next(module for module in model.text_encoder.modules() if isinstance(module, nn.ModuleList))
    _freeze("freeze_text_layers", [model.text_encoder.embeddings], list(layers), num_text_layers)


def _freeze(name: str, below: list[nn.Module], layers: list[nn.Module], number: int) -> None:
    if number > len(layers):
        raise ValueError(f"{name}={number}, expected at most the {len(layers)} layers there are")
    for module in (*below, *layers[:number]) if number else ():
        module.requires_grad_(False)


def add_adapters(model: SurgCLIPModel, rank: int, alpha: int) -> "peft.PeftModel":  # noqa: F821
    """
    Freezes the encoders and puts adapters (LoRA, arXiv 2106.09685) beside their linear layers, in place; projections
    and temperature stay trained. Returns what merges them: `merge_and_unload()` gives back the model without adapters.

    Raises:
        ImportError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("lora_rank needs the package peft; pip install peft") from error
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    targets = [name for name in linear if name.startswith(("vision_encoder.", "text_encoder."))]
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    targets = [name for name in targets if id(model.get_submodule(name).weight) in trained]  # not what goes unused
    adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets))
    for parameter in (*model.vision_proj.parameters(), *model.text_proj.parameters(), model.temp):
        parameter.requires_grad_(True)
    return adapted


def make_optimizer(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Returns AdamW over what is trained; biases and other one-dimensional parameters do not decay."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate)
