# SPDX-License-Identifier: Apache-2.0
"""The gradient of a batch, in one forward pass or in several."""

from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import nn

from .contrastive_model import Embeddings
from .loss import LossOutput

INPUTS = ("pixel_values", "input_ids", "attention_mask")


def add_gradient(
    accelerator: Accelerator,
    model: nn.Module,
    loss_function: nn.Module,
    batch: dict[str, torch.Tensor],
    keys: torch.Tensor,
    mini_batch_size: int | None = None,
) -> LossOutput:
    """
    Adds the gradient of a batch's loss to that of `model`, and returns the loss, detached. Every process must call it.

    Args:
        model: A prepared [`ContrastiveModel`].
        loss_function: A [`ContrastiveLoss`] or [`SigLIPLoss`].
        batch: This process's part of the batch, on any device.
        keys: From [`clip_keys`].
        mini_batch_size: Clips a forward pass, where not all fit at once. Then the embeddings of the whole batch are
            computed first without their activations, with the loss and its gradient by embeddings; a second pass,
            with the random numbers of the first, carries that gradient on to the weights. The gradient is that of the
            whole batch. Source: GradCache (Gao et al., arXiv 2101.06983).
    """
    keys = keys.to(accelerator.device, non_blocking=True)
    size = len(keys)
    if mini_batch_size is None or mini_batch_size >= size:
        output = loss_function(*_arguments(_embed(accelerator, model, batch, slice(None)), keys))
        accelerator.backward(output.loss)
        return LossOutput(*(value.detach() for value in output))

    parts = [slice(start, start + mini_batch_size) for start in range(0, size, mini_batch_size)]
    states, embedded = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state(accelerator.device))
            embedded.append(_embed(accelerator, model, batch, part))
    leaves = _whole(embedded)
    output = loss_function(*_arguments(leaves, keys))
    output.loss.backward()
    for part, state in zip(parts, states, strict=True):
        last = part is parts[-1]
        with nullcontext() if last else accelerator.no_sync(model), _random_numbers(accelerator.device, state):
            embeds = _embed(accelerator, model, batch, part)
            accelerator.backward(_carry(embeds, leaves, part, last))
    return LossOutput(*(value.detach() for value in output))


def _embed(accelerator: Accelerator, model: nn.Module, batch: dict[str, torch.Tensor], part: slice) -> Embeddings:
    inputs = {name: batch[name][part].to(accelerator.device, non_blocking=True) for name in INPUTS}
    return model(**inputs)


def _arguments(embeds: Embeddings, keys: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    return embeds.video_embeds, embeds.text_embeds, embeds.temperature, keys, embeds.bias


def _whole(embedded: list[Embeddings]) -> Embeddings:
    """Returns the embeddings of all parts, that gradients end at."""
    video, text = (torch.cat(values) for values in zip(*(embeds[:2] for embeds in embedded), strict=True))
    leaves = (video, text, embedded[0].temperature, embedded[0].bias)
    return Embeddings(*(None if leaf is None else leaf.detach().clone().requires_grad_() for leaf in leaves))


def _carry(embeds: Embeddings, leaves: Embeddings, part: slice, last: bool) -> torch.Tensor:
    """Returns a scalar whose gradient by the weights is that of the loss through this part of the embeddings."""
    total = (embeds.video_embeds * leaves.video_embeds.grad[part]).sum()
    total = total + (embeds.text_embeds * leaves.text_embeds.grad[part]).sum()
    for name in ("temperature", "bias"):
        if (value := getattr(embeds, name)) is not None:
            gradient = getattr(leaves, name).grad
            # Once, with the last part; DistributedDataParallel waits for a gradient of every parameter.
            scale = gradient if last and gradient is not None else torch.zeros_like(value)
            total = total + (value * scale).sum()
    return total


def _random_state(device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    on_device = None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)
    return torch.get_rng_state(), on_device


class _random_numbers:
    """Those from `state` on, for the time of a `with`."""

    def __init__(self, device: torch.device, state: tuple[torch.Tensor, torch.Tensor | None]):
        self.device, self.state = device, state

    def __enter__(self) -> None:
        self.before = _random_state(self.device)
        self._set(self.state)

    def __exit__(self, *exception) -> None:
        self._set(self.before)

    def _set(self, state: tuple[torch.Tensor, torch.Tensor | None]) -> None:
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.get_device_module(self.device).set_rng_state(state[1], self.device)
