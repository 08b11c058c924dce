# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from surglavi_hf.demo.drawing import ACTIONS, FPS, INSTRUMENTS, MOTION_PAIR, SIZE, TASK_S, TISSUES, Scene, Task

TASK = Task("liver", "hook", "holds", 0.0, 0, 0)
STEPS = np.linspace(0, 1, int(TASK_S * FPS))


def frames(task: Task, seed: int = 0) -> np.ndarray:
    scene = Scene(np.random.default_rng(seed), task)
    return np.stack([scene.frame(step) for step in STEPS]).astype(int)


def test_the_motion_pair_is_the_same_frames_in_opposite_order():
    one, other = (frames(replace(TASK, action=action)) for action in MOTION_PAIR)
    assert one.shape == (len(STEPS), SIZE, SIZE, 3)
    assert np.array_equal(one, other[::-1])
    assert np.abs(one[0] - one[-1]).mean() > 20, "there is something to see"


@pytest.mark.parametrize("part, values", [("tissue", TISSUES), ("instrument", INSTRUMENTS), ("action", ACTIONS)])
def test_every_word_has_its_own_look(part, values):
    looks = [frames(replace(TASK, **{part: value}))[-5] for value in values]
    for index, look in enumerate(looks):
        for other in looks[index + 1 :]:
            assert (np.abs(look - other).max(axis=-1) > 30).mean() > 0.004
