# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch.nn import functional as F

from surglavi_hf.training import ContrastiveLoss, SigLIPLoss
from surglavi_hf.training.negatives import clip_keys

from .reference import ROWS, make_batch, reference_loss

DIM = 8
LOSSES = {"infonce": ContrastiveLoss, "siglip": SigLIPLoss}


def embeddings(count: int = len(ROWS)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(count, DIM, dtype=torch.float64, generator=generator) for _ in range(2))


def run(compute, count: int = len(ROWS)) -> list[torch.Tensor]:
    """Loss, and gradients through a shared layer, as a model has one."""
    weight = torch.eye(DIM, dtype=torch.float64).add(0.1).requires_grad_()
    temperature = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    bias = torch.tensor([-3.0], dtype=torch.float64, requires_grad=True)
    video, text = (F.normalize(values @ weight, dim=-1) for values in embeddings(count))
    loss = compute(video, text, temperature, bias)
    loss.backward()
    of_bias = torch.zeros_like(bias) if bias.grad is None else bias.grad
    return [loss.detach().reshape(1), weight.grad, temperature.grad, of_bias]


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("negatives", ["all", "overlap", "same-video"])
@pytest.mark.parametrize("rows_at_once", [1, 3, 15])
def test_chunks_equal_the_whole(kind, negatives, rows_at_once):
    keys = clip_keys(make_batch(ROWS))
    whole = LOSSES[kind](negatives)
    chunked = LOSSES[kind](negatives, pairs_at_once=rows_at_once * len(ROWS))

    def compute(loss_function):
        return lambda video, text, temperature, bias: loss_function(video, text, temperature, keys, bias).loss

    for ours, expected in zip(run(compute(chunked)), run(compute(whole)), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("negatives", ["all", "same-text", "ancestor", "overlap", "same-video"])
@pytest.mark.parametrize("equal_text", [False, True])
def test_as_written_out(kind, negatives, equal_text):
    """Also the bias, and several positives of a row; the loss of processes is compared so in test_processes."""
    keys = clip_keys(make_batch(ROWS))
    loss_function = LOSSES[kind](negatives, equal_text_positives=equal_text)
    ours = run(lambda video, text, temperature, bias: loss_function(video, text, temperature, keys, bias).loss)
    expected = run(
        lambda video, text, temperature, bias: reference_loss(
            video, text, temperature, bias, ROWS, kind, negatives, equal_text
        )[0].sum()
    )
    for value, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-10, atol=1e-10)


def test_two_clips_are_a_batch():
    video, text = embeddings(2)
    assert ContrastiveLoss()(video, text, torch.tensor([1.0])).loss.isfinite()


def test_without_keys_every_other_pair_is_a_negative():
    rows = [(number, number, 0, 0.0, 1.0, chr(97 + number)) for number in range(6)]
    ours = run(lambda video, text, temperature, bias: ContrastiveLoss()(video, text, temperature).loss, 6)
    expected = run(
        lambda video, text, temperature, bias: reference_loss(
            video, text, temperature, bias, rows, "infonce", "all", False
        )[0].sum(),
        6,
    )
    for value, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-12, atol=1e-12)


def test_unknown_negatives():
    with pytest.raises(ValueError, match="negatives='overlaps', expected one of all, same-text"):
        ContrastiveLoss("overlaps")


def test_no_negatives():
    with pytest.raises(ValueError, match="no negative"):
        ContrastiveLoss()(torch.ones(1, 4), torch.ones(1, 4), torch.tensor(1.0))


@pytest.mark.parametrize("kind", LOSSES)
def test_rows_without_a_negative_are_left_out_and_counted(kind):
    """Two clips of one video have no negative among themselves; a third clip gives them one."""
    pair = [(1, 1, 0, 0.0, 2.0, "a"), (2, 1, 1, 0.0, 4.0, "b")]
    rows = [*pair, (3, 1, 2, 5.0, 9.0, "c")]
    video, text = embeddings(3)
    temperature = torch.tensor([1.0], dtype=torch.float64)
    loss_function = LOSSES[kind]("overlap")
    output = loss_function(video, text, temperature, clip_keys(make_batch(rows)))
    expected, left_out = reference_loss(video, text, temperature, 0.0, rows, kind, "overlap", False)
    assert output.rows_without_negative == left_out == 0
    torch.testing.assert_close(output.loss.reshape(1), expected.reshape(1))

    output = LOSSES[kind]("same-video")(video, text, temperature, clip_keys(make_batch(rows)))
    assert output.rows_without_negative == 3 and output.loss.isnan(), "a silent zero"
    others = [*rows, (4, 2, 0, 0.0, 1.0, "a")]  # another video; its text is that of the first row
    video, text = embeddings(4)
    output = LOSSES[kind]("same-video")(video, text, temperature, clip_keys(make_batch(others)))
    expected, left_out = reference_loss(video, text, temperature, 0.0, others, kind, "same-video", False)
    assert output.rows_without_negative == left_out == 1
    torch.testing.assert_close(output.loss.reshape(1), expected.reshape(1))
