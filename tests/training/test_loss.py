# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn import functional as F

from surglavi_hf.training import ContrastiveLoss

WORLD_SIZE, LOCAL_BATCH, DIM = 2, 5, 8


def embeddings() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(WORLD_SIZE * LOCAL_BATCH, DIM, dtype=torch.float64, generator=generator) for _ in range(2)
    )


def reference(video: torch.Tensor, text: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE of the whole batch, written out."""
    loss = 0.0
    for index in range(len(video)):
        scores = (video[index] * text).sum(dim=1) / temperature
        loss = loss - scores[index] + torch.logsumexp(scores, dim=0)
        scores = (text[index] * video).sum(dim=1) / temperature
        loss = loss - scores[index] + torch.logsumexp(scores, dim=0)
    return loss / (2 * len(video))


def run(compute, video, text) -> list[torch.Tensor]:
    """Loss and gradients through a shared layer, as a model has one."""
    weight = torch.eye(DIM, dtype=torch.float64).add(0.1).requires_grad_()
    temperature = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    loss = compute(F.normalize(video @ weight, dim=-1), F.normalize(text @ weight, dim=-1), temperature)
    loss.backward()
    return [loss.detach(), weight.grad, temperature.grad]


def one_process(rank: int, init_file: str, results: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=WORLD_SIZE)
    mine = slice(rank * LOCAL_BATCH, (rank + 1) * LOCAL_BATCH)
    video, text = embeddings()
    values = run(ContrastiveLoss(), video[mine], text[mine])
    for value in values:  # averages, as DistributedDataParallel does
        dist.all_reduce(value)
        value /= WORLD_SIZE
    torch.save(values, f"{results}/{rank}.pt")
    dist.destroy_process_group()


def test_one_process_equals_the_reference():
    for ours, expected in zip(run(ContrastiveLoss(), *embeddings()), run(reference, *embeddings()), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_two_processes_equal_one_in_loss_and_gradients(tmp_path):
    mp.spawn(one_process, (str(tmp_path / "init"), str(tmp_path)), nprocs=WORLD_SIZE)
    expected = run(reference, *embeddings())
    for rank in range(WORLD_SIZE):
        for ours, value in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            torch.testing.assert_close(ours, value, rtol=1e-9, atol=1e-12)


def test_no_negatives():
    with pytest.raises(ValueError, match="no negative"):
        ContrastiveLoss()(torch.ones(1, 4), torch.ones(1, 4), torch.tensor(1.0))
