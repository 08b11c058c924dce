# SPDX-License-Identifier: Apache-2.0
"""Gradients of a batch: over processes, in parts, and of several batches, against the losses written out."""

import itertools
import os
import socket
from contextlib import nullcontext
from typing import NamedTuple

import pytest
import torch
import torch.multiprocessing as mp
from accelerate import Accelerator
from torch import nn

from surglavi_hf.training import ContrastiveLoss, SigLIPLoss
from surglavi_hf.training.negatives import clip_keys
from surglavi_hf.training.update import add_gradient

from .reference import ROWS, make_batch, part_of, reference_loss, tiny_trained_model

WORLD_SIZE = 2
MODES = ("all", "same-text", "ancestor", "overlap", "same-video")
LOSSES = {"infonce": ContrastiveLoss, "siglip": SigLIPLoss}


class Case(NamedTuple):
    kind: str
    negatives: str
    equal_text: bool
    num_batches: int
    mini_batch_size: int | None

    @property
    def name(self) -> str:
        return "-".join(map(str, self))


CASES = [
    Case(*case)
    for case in itertools.product(LOSSES, MODES, (False, True), (1, 2), (None, 3))
    if not (case[1] == "all" and case[2])
]


def whole_batches(case: Case) -> list[list[tuple]]:
    """One global batch of all rows, or two."""
    return [ROWS] if case.num_batches == 1 else [ROWS[:8], ROWS[8:]]


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def expected(case: Case) -> tuple[float, dict[str, torch.Tensor]]:
    """Plain PyTorch, one process, one forward pass a batch."""
    model = tiny_trained_model(case.kind == "siglip")
    total = 0.0
    for rows in whole_batches(case):
        batch = make_batch(rows)
        embeds = model(batch["pixel_values"], batch["input_ids"], batch["attention_mask"])
        arguments = (embeds.video_embeds, embeds.text_embeds, embeds.temperature, embeds.bias, rows)
        loss, _ = reference_loss(*arguments, case.kind, case.negatives, case.equal_text)
        total = total + loss / case.num_batches
    total.sum().backward()
    return float(total.detach()), gradients(model)


def computed(case: Case, accelerator: Accelerator, rank: int, world_size: int) -> tuple[float, dict]:
    """What training does, of this process's part of each batch."""
    model = tiny_trained_model(case.kind == "siglip")
    prepared = accelerator.prepare_model(model)
    loss_function = LOSSES[case.kind](case.negatives, case.equal_text)
    batches, total = whole_batches(case), torch.zeros((), dtype=torch.float64)
    for rows in batches:
        size = len(rows) // world_size
        mine = part_of(make_batch(rows), slice(rank * size, (rank + 1) * size))
        last = rows is batches[-1]
        with nullcontext() if last else accelerator.no_sync(prepared):
            output = add_gradient(accelerator, prepared, loss_function, mine, clip_keys(mine), case.mini_batch_size)
        total = total + output.loss / len(batches)
    found = {name: value / len(batches) for name, value in gradients(model).items()}
    return float(accelerator.gather(total.reshape(1)).mean()), found


def one_process(rank: int, port: int, results: str) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(WORLD_SIZE)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == WORLD_SIZE
    torch.save({case.name: computed(case, accelerator, rank, WORLD_SIZE) for case in CASES}, f"{results}/{rank}.pt")
    accelerator.end_training()


@pytest.fixture(scope="module")
def references() -> dict:
    return {case.name: expected(case) for case in CASES}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> list[dict]:
    results = tmp_path_factory.mktemp("results")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(one_process, (port, str(results)), nprocs=WORLD_SIZE)
    return [torch.load(results / f"{rank}.pt") for rank in range(WORLD_SIZE)]


def assert_same(found: tuple[float, dict], wanted: tuple[float, dict]) -> None:
    assert found[0] == pytest.approx(wanted[0], abs=1e-9)
    assert set(found[1]) == set(wanted[1])
    whole = sum(gradient.norm() ** 2 for gradient in wanted[1].values()) ** 0.5
    for name, gradient in wanted[1].items():
        # The bias of keys has no gradient but rounding errors.
        assert (found[1][name] - gradient).norm() < 1e-9 * max(gradient.norm(), 1e-3 * whole), name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_processes_equal_the_whole_batch_written_out(case, two_processes, references):
    for rank in range(WORLD_SIZE):
        assert_same(two_processes[rank][case.name], references[case.name])


@pytest.mark.parametrize("case", [case for case in CASES if case.mini_batch_size or case.num_batches == 1], ids=str)
def test_one_process_equals_the_whole_batch_written_out(case, references):
    assert_same(computed(case, Accelerator(cpu=True), 0, 1), references[case.name])


def test_parts_have_the_random_numbers_of_the_first_pass():
    """With dropout, the gradient belongs to the embeddings that the loss saw; what follows is drawn as ever."""
    batch, accelerator = make_batch(ROWS), Accelerator(cpu=True)
    seen = []

    class Remembering(ContrastiveLoss):
        def forward(self, video_embeds, *arguments):
            seen.append(video_embeds.detach().clone())
            return super().forward(video_embeds, *arguments)

    model = tiny_trained_model()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    model.train()
    second_pass = []
    model.register_forward_hook(
        lambda module, inputs, outputs: (
            second_pass.append(outputs.video_embeds.detach()) if torch.is_grad_enabled() else None
        )
    )
    torch.manual_seed(1)
    add_gradient(accelerator, model, Remembering(), batch, clip_keys(batch), 4)
    after = torch.rand(1)
    torch.testing.assert_close(torch.cat(second_pass), seen[0], rtol=0, atol=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for start in range(0, len(ROWS), 4):
            part = part_of(batch, slice(start, start + 4))
            model(part["pixel_values"], part["input_ids"], part["attention_mask"])
    assert torch.rand(1) == after


def test_half_precision_embeddings_are_compared_in_single():
    batch = make_batch(ROWS, torch.float32)
    model = tiny_trained_model(dtype=torch.float32)
    accelerator = Accelerator(cpu=True)
    wanted = add_gradient(accelerator, model, ContrastiveLoss(), batch, clip_keys(batch)).loss
    embeds = model(batch["pixel_values"], batch["input_ids"], batch["attention_mask"])
    low = ContrastiveLoss()(embeds.video_embeds.bfloat16(), embeds.text_embeds.bfloat16(), embeds.temperature)
    assert low.loss.dtype == torch.float32 and low.loss.item() == pytest.approx(wanted.item(), rel=0.05)
