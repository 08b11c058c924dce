# SPDX-License-Identifier: Apache-2.0
"""What a run would take, before it starts."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from .accelerator import end_processes
from .config import TrainingConfig
from .run import TrainingRun, peak_memory

_BYTES_OF_WEIGHT, _BYTES_OF_ADAMW = 4, 8


@dataclass
class RunEstimate:
    """
    Args:
        num_parameters: Of the model.
        num_trained: Of them, those that are trained.
        num_clips: To train on.
        global_batch_size: Clips that are contrasted with one another, over all processes.
        num_steps: Of the optimizer.
        seconds_per_step: Of the second of two steps.
        memory_gb: The most that one process has used in them: of its GPU where it has one, else of the machine.
        disk_gb: For the checkpoints that are kept, one more while it is written, and `model/`.
        free_gb: On the disk of `output_dir`.
    """

    num_parameters: int
    num_trained: int
    num_clips: int
    global_batch_size: int
    num_steps: int
    seconds_per_step: float
    memory_gb: float
    disk_gb: float
    free_gb: float

    def __str__(self) -> str:
        hours = self.num_steps * self.seconds_per_step / 3600
        lines = {
            "parameters": f"{self.num_parameters:,}, of which {self.num_trained:,} are trained",
            "clips": f"{self.num_clips:,}, {self.global_batch_size} a batch",
            "steps": f"{self.num_steps:,}, {self.seconds_per_step:.2f} s each (the second of two)",
            "hours": f"{hours:.1f}, without evaluations and checkpoints",
            "memory": f"{self.memory_gb:.2g} GB in each process, measured in two steps",
            "disk": f"{self.disk_gb:.2g} GB of {self.free_gb:.1f} GB free"
            + (": NOT ENOUGH" if self.disk_gb > self.free_gb else ""),
        }
        return "\n".join(f"{name:<12}{text}" for name, text in lines.items())


def estimate_run(config: TrainingConfig) -> RunEstimate:
    """
    Makes the run ready, makes two steps in memory and writes nothing. Every process must call it.

    Raises:
        FileNotFoundError, ImportError, ValueError, VideoDecodeError: as [`train`].
    """
    run = TrainingRun(config)
    parameters = list(run.accelerator.unwrap_model(run.model).parameters())
    num_parameters = sum(parameter.numel() for parameter in parameters)
    num_trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    for _ in range(2):
        started = time.perf_counter()
        run.update(run.fetch())
        seconds = time.perf_counter() - started
    checkpoint = num_parameters * _BYTES_OF_WEIGHT + num_trained * _BYTES_OF_ADAMW
    output_dir = Path(config.output_dir).absolute()
    existing = next(path for path in (output_dir, *output_dir.parents) if path.exists())
    estimate = RunEstimate(
        num_parameters=num_parameters,
        num_trained=num_trained,
        num_clips=len(run.dataset),
        global_batch_size=run.global_batch_size,
        num_steps=run.max_steps,
        seconds_per_step=seconds,
        memory_gb=peak_memory(run.accelerator.device),
        disk_gb=((config.save_total_limit + 1) * checkpoint + 2 * num_parameters * _BYTES_OF_WEIGHT) / 1e9,
        free_gb=shutil.disk_usage(existing).free / 1e9,
    )
    run.end_workers()
    end_processes(run.accelerator)
    return estimate
