# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a process of a run. Each is called with its rank before it starts."""

import os
import resource
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from surglavi_hf.training import accelerator, loss, run


def nan_loss(rank: int, output_dir: Path) -> None:
    """The loss of rank 1 is not a number, in the third step."""
    calls, forward = [], loss._PairwiseLoss.forward

    def wrong(self, *arguments, **kwargs):
        output = forward(self, *arguments, **kwargs)
        calls.append(output)
        return output._replace(loss=output.loss * float("nan")) if len(calls) == 3 and rank else output

    loss._PairwiseLoss.forward = wrong


def other_settings(rank: int, output_dir: Path) -> None:
    """Rank 1 was given another learning rate."""
    if rank:
        check = accelerator.check_agreement
        run.check_agreement = lambda accelerator, config: check(accelerator, replace(config, learning_rate=1.0))


def nan_always(rank: int, output_dir: Path) -> None:
    """So is every loss, of every rank."""
    forward = loss._PairwiseLoss.forward

    def wrong(self, *arguments, **kwargs):
        output = forward(self, *arguments, **kwargs)
        return output._replace(loss=output.loss * float("nan"))

    loss._PairwiseLoss.forward = wrong


def full_disk(rank: int, output_dir: Path) -> None:
    """Rank 0 cannot write files of more than 100 kB, once there is a checkpoint."""
    if rank == 0:
        _once(lambda: list((output_dir / "checkpoints").glob("step-*")), _limit)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def killed_worker(rank: int, output_dir: Path) -> None:
    """The loader's workers of the last rank are killed from the second step on."""

    def kill() -> None:
        while True:  # one that has handed over its last batch is not missed, and there is none between two epochs
            for worker in [child for child in psutil.Process().children() if _is_worker(child)]:
                with suppress(psutil.NoSuchProcess):
                    worker.kill()
            time.sleep(0.002)

    if rank == int(os.environ.get("WORLD_SIZE", 1)) - 1:
        _once(lambda: len((output_dir / "metrics.jsonl").read_text().splitlines()) >= 2, kill)


def _is_worker(child: psutil.Process) -> bool:
    try:
        return any("spawn_main" in word for word in child.cmdline())
    except psutil.Error:  # it has just ended
        return False


def _once(condition, action) -> None:
    def watch() -> None:
        while True:
            try:
                if condition():
                    return action()
            except OSError:
                pass
            time.sleep(0.002)

    threading.Thread(target=watch, daemon=True).start()
