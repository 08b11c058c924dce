# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from surglavi_hf.training.schedule import learning_rate_at


@pytest.mark.parametrize("max_steps, warmup", [(20, 3), (20, 0), (1, 1), (7, 7)])
def test_as_transformers_has_it(max_steps, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    scheduler = get_cosine_with_min_lr_schedule_with_warmup(optimizer, warmup, max_steps, min_lr_rate=0.05)
    for step in range(max_steps + 3):
        assert learning_rate_at(step, max_steps, warmup, 0.2, 0.01) == pytest.approx(scheduler.get_last_lr()[0]) or (
            step > max_steps
        )
        optimizer.step()
        scheduler.step()


def test_beyond_the_end_it_stays_at_the_floor():
    assert learning_rate_at(30, 20, 3, 0.2, 0.01) == pytest.approx(0.01)
