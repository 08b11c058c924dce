# SPDX-License-Identifier: Apache-2.0
"""What is handed to Accelerate, and the SurgCLIP model that comes out."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from ..surgclip import SurgCLIPConfig, SurgCLIPModel
from .parameters import add_adapters

SIGLIP_BIAS = -10.0  # SigLIP's (arXiv 2303.15343)


class Embeddings(NamedTuple):
    """
    Args:
        video_embeds: Of shape `(batch_size, projection_dim)`; None where no clips were given.
        text_embeds: Of shape `(batch_size, projection_dim)`; None where no texts were given.
        temperature: Of shape `(1,)`.
        bias: Of shape `(1,)`; None without a learned bias.
    """

    video_embeds: torch.Tensor | None
    text_embeds: torch.Tensor | None
    temperature: torch.Tensor
    bias: torch.Tensor | None


class ContrastiveModel(nn.Module):
    """
    SurgCLIP so that everything the loss learns leaves through `forward`, where DistributedDataParallel and FSDP look.

    Args:
        model: Taken over: its `temp` becomes a vector of one, since FSDP cannot shard scalars.
        learn_bias: Also learn the bias of a SigLIP loss. SurgCLIP has none, and needs none to rank.
    """

    def __init__(self, model: SurgCLIPModel, learn_bias: bool = False):
        super().__init__()
        trained = model.temp.requires_grad
        model.temp = nn.Parameter(model.temp.detach().clone().reshape(1), requires_grad=trained)
        self.model = model
        self.bias = nn.Parameter(torch.tensor([SIGLIP_BIAS])) if learn_bias else None
        self._no_split_modules = model._no_split_modules  # by which accelerate chooses what FSDP wraps

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> Embeddings:
        video = None if pixel_values is None else self.model.get_video_features(pixel_values).pooler_output
        text = None if input_ids is None else self.model.get_text_features(input_ids, attention_mask).pooler_output
        # Copies: FSDP takes a parameter away once `forward` has ended.
        return Embeddings(video, text, self.model.temp * 1, None if self.bias is None else self.bias * 1)


def to_surgclip(
    config: SurgCLIPConfig, state: Mapping[str, torch.Tensor], lora_rank: int = 0, lora_alpha: int = 1
) -> SurgCLIPModel:
    """
    Returns the SurgCLIP model, on the CPU, that a whole state dict of a [`ContrastiveModel`] holds, with adapters
    merged. Takes no random numbers from the training.
    """
    with torch.random.fork_rng(devices=[]):
        model = SurgCLIPModel(config)
        adapted = add_adapters(model, lora_rank, lora_alpha) if lora_rank else None
    values = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
    values["temp"] = values["temp"].reshape(())
    model.load_state_dict(values)
    return model if adapted is None else adapted.merge_and_unload()
