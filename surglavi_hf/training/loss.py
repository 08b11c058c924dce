# SPDX-License-Identifier: Apache-2.0
"""Symmetric InfoNCE with negatives from all processes."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F


class _Gather(torch.autograd.Function):
    """Concatenates the tensors of all processes along the first axis; gradients flow back to each one's own rows."""

    # torch.distributed.nn.functional.all_gather does this too, but is deprecated in favour of a private module.

    @staticmethod
    def forward(ctx, tensor: torch.Tensor) -> torch.Tensor:
        ctx.size = len(tensor)
        gathered = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, tensor.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)  # every process has a share of the gradient of every row
        start = dist.get_rank() * ctx.size
        return gradient[start : start + ctx.size]


class ContrastiveLoss(nn.Module):
    """
    Symmetric InfoNCE (van den Oord et al., arXiv 1807.03748; CLIP, arXiv 2103.00020) over the global batch.

    Embeddings are gathered with gradient, and each process computes the rows of its own clips and captions. Averaged
    over processes, as DistributedDataParallel averages, loss and gradient equal those of one process with the whole
    batch. Every process must call it, with equal batch sizes.
    """

    def forward(
        self, video_embeds: torch.Tensor, text_embeds: torch.Tensor, temperature: torch.Tensor
    ) -> torch.Tensor:
        """
        Returns this process's share of the loss, a scalar.

        Args:
            video_embeds: Of shape `(batch_size, projection_dim)`; row i belongs to row i of `text_embeds`.
            text_embeds: Of shape `(batch_size, projection_dim)`.
            temperature: Scalar that divides the similarities.

        Raises:
            ValueError: fewer than two pairs in the global batch: there is no negative.
        """
        target = torch.arange(len(video_embeds), device=video_embeds.device)
        all_video_embeds, all_text_embeds = video_embeds, text_embeds
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            target = target + dist.get_rank() * len(video_embeds)
            all_video_embeds = _Gather.apply(video_embeds)  # (world_size · B, D)
            all_text_embeds = _Gather.apply(text_embeds)
        if len(all_video_embeds) < 2:
            raise ValueError("a global batch of 1 clip has no negative; use a batch size of at least 2")
        logits_per_video = video_embeds @ all_text_embeds.T / temperature  # (B, world_size · B)
        logits_per_text = text_embeds @ all_video_embeds.T / temperature
        return (F.cross_entropy(logits_per_video, target) + F.cross_entropy(logits_per_text, target)) / 2
