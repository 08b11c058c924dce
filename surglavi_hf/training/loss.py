# SPDX-License-Identifier: Apache-2.0
"""Contrastive losses with negatives from all processes."""

from abc import ABC, abstractmethod
from typing import NamedTuple, get_args

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .config import Negatives
from .negatives import NUM_KEYS, equal_texts, excluded_pairs

# Pairs whose similarities are held at once. A pair takes about 50 bytes while it is worked on: 200 MB.
PAIRS_AT_ONCE = 2**22


class _Gather(torch.autograd.Function):
    """Concatenates the tensors of all processes along the first axis; gradients flow back to each one's own rows."""

    # torch.distributed.nn.functional.all_gather does this too, but is deprecated in favour of a private module.

    @staticmethod
    def forward(ctx, tensor: torch.Tensor) -> torch.Tensor:
        ctx.size = len(tensor)
        return _gather(tensor)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)  # every process has a share of the gradient of every row
        start = dist.get_rank() * ctx.size
        return gradient[start : start + ctx.size]


def _gather(tensor: torch.Tensor) -> torch.Tensor:
    gathered = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, tensor.contiguous())
    return torch.cat(gathered)


class LossOutput(NamedTuple):
    """
    Args:
        loss: Scalar, this process's share: averaged over processes it is the loss of the global batch. NaN where no
            row of the global batch has a negative.
        rows_without_negative: Scalar, how many rows of the global batch were left out because every other one is
            excluded.
    """

    loss: torch.Tensor
    rows_without_negative: torch.Tensor


class _PairwiseLoss(nn.Module, ABC):
    """
    The mean over the rows of the global batch of what each loses against all columns. A row without a negative is left
    out of the mean and counted.

    Embeddings are gathered with gradient, and each process computes the rows of its own clips and captions, as many at
    a time as `pairs_at_once` allows; if that takes several turns, they are computed again for the gradient. Memory
    grows with the local batch times the global one, and stops growing there. Averaged over processes, as
    DistributedDataParallel averages, loss and gradient equal those of one process with the whole batch.

    Args:
        negatives: Which pairs are told apart, see [`excluded_pairs`].
        equal_text_positives: Draw a clip to all captions of the text of its own, rather than leave them out.
        pairs_at_once: Pairs whose similarities are held at once.

    Raises:
        ValueError: `negatives` is none of the choices.
    """

    def __init__(
        self, negatives: Negatives = "all", equal_text_positives: bool = False, pairs_at_once: int = PAIRS_AT_ONCE
    ):
        super().__init__()
        if negatives not in get_args(Negatives):
            raise ValueError(f"negatives={negatives!r}, expected one of {', '.join(get_args(Negatives))}")
        self.negatives = negatives
        self.equal_text_positives = equal_text_positives
        self.pairs_at_once = pairs_at_once

    def forward(
        self,
        video_embeds: torch.Tensor,
        text_embeds: torch.Tensor,
        temperature: torch.Tensor,
        keys: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
    ) -> LossOutput:
        """
        Returns this process's share of the loss. Every process must call it, with equal batch sizes.

        Args:
            video_embeds: Of shape `(batch_size, projection_dim)`; row i belongs to row i of `text_embeds`.
            text_embeds: Of shape `(batch_size, projection_dim)`.
            temperature: Of one element; divides the similarities.
            keys: Of shape `(batch_size, NUM_KEYS)`, from [`clip_keys`]; without it every other pair is a negative.
            bias: Of one element, added to the logits; [`SigLIPLoss`] alone uses it.

        Raises:
            ValueError: fewer than two pairs in the global batch: there is no negative.
        """
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        size, first = len(video_embeds), dist.get_rank() * len(video_embeds) if several else 0
        if keys is None:
            numbers = torch.arange(first, first + size, device=video_embeds.device)
            keys = numbers[:, None].expand(-1, NUM_KEYS)
        dtype = torch.promote_types(video_embeds.dtype, torch.float32)  # similarities in bf16 have 3 digits
        local = video_embeds.to(dtype), text_embeds.to(dtype), keys
        whole = (_Gather.apply(local[0]), _Gather.apply(local[1]), _gather(keys)) if several else local  # (N, …)
        if (num_columns := len(whole[0])) < 2:
            raise ValueError("a global batch of 1 clip has no negative; use a batch size of at least 2")
        total, count = self.sum_over_rows(local, whole, first, temperature, bias)
        if several:
            dist.all_reduce(count)
        return LossOutput(total / count * (num_columns // size), num_columns - count)

    def sum_over_rows(
        self,
        local: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        whole: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        first: int,
        temperature: torch.Tensor,
        bias: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Returns what this process's rows lose in sum, and how many of them have a negative.

        Args:
            local: Embeddings of clips and of texts, and keys, of the rows: `(batch_size, …)`.
            whole: The same of the global batch.
            first: Place of the first row in the global batch.
            temperature: As in `forward`.
            bias: As in `forward`.
        """
        size, num_rows = len(local[0]), max(1, self.pairs_at_once // len(whole[0]))
        total, count = local[0].new_zeros(()), local[0].new_zeros(())
        for start in range(0, size, num_rows):
            rows = tuple(tensor[start : start + num_rows] for tensor in local)
            arguments = (rows, whole, first + start, temperature, bias)
            if num_rows >= size:
                part = self._rows(*arguments)
            else:
                part = checkpoint(self._rows, *arguments, use_reentrant=False, preserve_rng_state=False)
            total, count = total + part[0], count + part[1]
        return total, count

    def _rows(
        self,
        rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        whole: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        first: int,
        temperature: torch.Tensor,
        bias: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what the rows lose in sum, and how many of them have a negative; `first` is the place of row 0."""
        (video, text, keys), (all_video, all_text, all_keys) = rows, whole
        own = torch.arange(len(keys), device=keys.device)
        if self.equal_text_positives:
            positive = equal_texts(keys, all_keys)
        else:
            positive = torch.zeros(len(keys), len(all_keys), dtype=torch.bool, device=keys.device)  # (R, N)
            positive[own, first + own] = True
        negative = ~(excluded_pairs(keys, all_keys, self.negatives) | positive)
        counted = negative.any(dim=1)
        shift = 0.0 if bias is None else bias
        logits_per_video = video @ all_text.T / temperature + shift  # (R, N)
        losses = self._losses(logits_per_video, positive, negative)
        if self.symmetric:
            logits_per_text = text @ all_video.T / temperature + shift
            losses = (losses + self._losses(logits_per_text, positive, negative)) / 2
        return (losses * counted).sum(), counted.sum().to(losses.dtype)

    # Whether rows of clips and rows of captions differ; both relations are symmetric, so that the masks serve both.
    symmetric = True

    @abstractmethod
    def _losses(self, logits: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        """Returns the loss of each row, all arguments of shape `(num_rows, num_columns)`."""


class ContrastiveLoss(_PairwiseLoss):
    """
    Symmetric InfoNCE (van den Oord et al., arXiv 1807.03748; CLIP, arXiv 2103.00020) over the global batch. Several
    positives of a row share its target equally, as in VindLU.
    """

    def _losses(self, logits: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        compared = logits.masked_fill(~(positive | negative), -torch.inf).logsumexp(dim=1)
        return compared - logits.masked_fill(~positive, 0).sum(dim=1) / positive.sum(dim=1)


class SigLIPLoss(_PairwiseLoss):
    """
    The sigmoid loss of SigLIP (Zhai et al., arXiv 2303.15343, algorithm 1): of each pair by itself whether it belongs
    together, summed over the columns. It wants a learned `bias` that starts at -10, since most pairs do not.
    """

    symmetric = False  # every pair is in some row of clips

    def _losses(self, logits: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        signed = torch.where(positive, logits, -logits)
        return -F.logsigmoid(signed).masked_fill(~(positive | negative), 0).sum(dim=1)
