# SPDX-License-Identifier: Apache-2.0
"""The training loop."""

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors import SafetensorError

from ..files import write_text
from ..hub import BackgroundPush, HubError
from ..surgclip import SurgCLIPModel, SurgCLIPProcessor
from .accelerator import end_processes
from .checkpoint import Checkpoints, read_state
from .config import TrainingConfig
from .log import MetricsLog, start_trackers
from .publish import write_model
from .resume import SETTINGS_NAME, check_resumed
from .run import TrainingRun, peak_memory
from .stop import StopRequest

logger = logging.getLogger(__name__)

MAX_SKIPPED = 25  # steps in a row; fp16 skips up to 16 at the start to find its scale


def train(
    config: TrainingConfig,
    dataset: Dataset | None = None,
    validation_dataset: Dataset | None = None,
    model: SurgCLIPModel | None = None,
    processor: SurgCLIPProcessor | None = None,
) -> Path:
    """
    Trains SurgCLIP on clip-caption pairs and returns the folder of the trained model, `<output_dir>/model`.

    Every process of an `accelerate launch` must call it; the global batch has `per_device_train_batch_size` clips
    times the number of processes. Also writes `<output_dir>/checkpoints/`, `metrics.jsonl`, a line a step, and
    `training.json`, the settings. After SIGTERM or Ctrl-C it ends between two steps with a checkpoint.

    Args:
        config: The settings.
        dataset: Rows to train on instead of those of `data_dir` or `dataset_name`: a `clip`, a column of
            [`VideoClip`], and a `caption`; `level` (task, step or phase), `caption_id` and `youtube_id` are taken
            where they are there. A run that is resumed must be given the same.
        validation_dataset: Rows of the same form, for `eval_steps`.
        model: To start from, in place of those that settings name; it is trained itself.
        processor: Of `model`.

    Raises:
        FileExistsError: `output_dir` already holds a run, and `resume` is not given.
        FileNotFoundError: no database in `data_dir`, none of its videos on disk, or no checkpoint to resume.
        HubError: the model is trained and written, but could not be pushed; the message says how to finish.
        RuntimeError: a worker died, or too many steps in a row gave no finite gradient.
        SystemExit: it was asked to stop, with status 128 plus the number of the signal.
        ValueError: a setting is out of range, there are fewer clips than one batch, or the run resumed is another one.
        VideoDecodeError: a video cannot be decoded, with `replace_unreadable` ten in a row.
    """
    output_dir = Path(config.output_dir)
    if config.resume is None:
        for name in ("model", "checkpoints"):
            if (output_dir / name).exists():
                raise FileExistsError(
                    f"{output_dir / name} already exists; go on with --resume auto, or name a new output_dir"
                )
    elif config.resume != "auto":
        read_state(Path(config.resume))
    run = TrainingRun(config, dataset, validation_dataset, model, processor)
    try:
        training = _Training(run, output_dir)
        training.run_to_the_end()
    finally:
        run.end_workers()
        end_processes(run.accelerator)
    training.finish_push()  # with no other process waiting
    return output_dir / "model"


class _Training:
    """A run with all that is written of it."""

    def __init__(self, run: TrainingRun, output_dir: Path):
        self.run, self.output_dir, self.config = run, output_dir, run.config
        self.accelerator = run.accelerator
        self.about = run.describe()
        self.is_main = self.accelerator.is_main_process
        self.checkpoints = Checkpoints(output_dir / "checkpoints", self.accelerator, self.config.save_total_limit)
        self.saved_step = self._resume()
        self.published_step = -1
        self.checkpoints.set_aside_after(run.step)
        self.push: BackgroundPush | None = None
        if self.checkpoints.is_writer:
            write_text(output_dir / SETTINGS_NAME, json.dumps(self._recorded(), indent=2) + "\n")
        if self.is_main and self.config.push_to_hub:
            self.push = BackgroundPush(self.config.hub_model_id, output_dir / "model")

    def _resume(self) -> int:
        """Goes on from a checkpoint, where there is one to go on from; returns its step."""
        if self.config.resume is None:
            return 0
        if self.config.resume == "auto":
            path = self.checkpoints.newest()
        else:
            self.checkpoints.check(path := Path(self.config.resume))
        if path is None:
            return 0
        state = read_state(path)
        check_resumed(state["run"], self.about)
        self.checkpoints.load(path)
        self.run.go_to(state["step"], **state["position"])
        return state["step"]

    def run_to_the_end(self) -> None:
        run = self.run
        trackers = start_trackers(self.accelerator, self.about) if self.config.report_to else []
        with (
            StopRequest() as stop,
            MetricsLog(self.output_dir / "metrics.jsonl", run.max_steps, self.is_main, run.step, trackers) as log,
        ):
            self.skipped, self.last = 0, time.perf_counter()
            while run.step < run.max_steps:
                if number := self._step(stop, log):
                    self._save()
                    logger.warning("stopped at step %d; go on with --resume auto", run.step)
                    raise SystemExit(128 + number)
        self._save()
        if not self._publish():
            raise OSError(
                f"{self.output_dir / 'model'} could not be written; make room, and finish with --resume auto"
            )
        self.accelerator.wait_for_everyone()

    def finish_push(self) -> None:
        """
        Waits for the model to be on the Hub.

        Raises:
            HubError: it is not there, or not in its last state; says how to finish.
        """
        if self.push is None:
            return
        tag = f"step-{self.run.step}"
        if not self.push.finish(tag) or self.push.pushed != self._push_message:
            raise HubError(
                f"training is done, but {self.output_dir / 'model'} is not on the Hub; finish with: "
                f"{self.push.remedy(tag)}"
            )

    @property
    def _push_message(self) -> str:
        return f"Step {self.run.step}"

    def _step(self, stop: StopRequest, log: MetricsLog) -> int:
        """Makes a step; returns the signal that some process got instead, 0 otherwise."""
        run, config = self.run, self.config
        started = time.perf_counter()
        batches, error = None, None
        try:
            batches = run.fetch()
        except Exception as caught:  # whatever a file or a library brings up: the others have to know
            error = caught
        waited = time.perf_counter() - started
        number = self._agree(error, stop.signal)
        if number:
            return number
        metrics = run.update(batches)
        self.skipped = self.skipped + 1 if "skipped" in metrics else 0
        if self.skipped == MAX_SKIPPED:
            raise RuntimeError(
                f"{MAX_SKIPPED} steps in a row were skipped ({metrics['skipped']}); lower learning_rate, or start "
                "from other weights"
            )
        seconds, now = time.perf_counter() - self.last, time.perf_counter()
        metrics |= {
            "clips_per_second": config.gradient_accumulation_steps * run.global_batch_size / seconds,
            "data_wait": waited / seconds,
            "memory_gb": peak_memory(self.accelerator.device),
        }
        self.last = now
        if config.eval_steps and run.step % config.eval_steps == 0:
            metrics |= run.validate()
        log.write(run.step, metrics, metrics.pop("replaced"))
        if config.save_steps and run.step % config.save_steps == 0:
            self._save()
            self._publish()
        self.last = time.perf_counter()
        return 0

    def _agree(self, error: Exception | None, signal_number: int) -> int:
        """
        Returns the signal that some process got, 0 for none. Where one could not read its batch, all end, with a
        checkpoint. A signal goes first: it may be why there is no batch.
        """
        mine = torch.tensor([[int(error is not None), signal_number]], device=self.accelerator.device)
        failed, number = self.accelerator.gather(mine).max(dim=0).values.tolist()
        if failed and not number:
            if error is not None:
                logger.error("process %d cannot go on: %s", self.accelerator.process_index, error)
            self._save()
            raise error if error is not None else RuntimeError("another process could not read its batch")
        return number

    def _save(self) -> None:
        """Writes a checkpoint, if there has been a step since the last."""
        if self.run.step == self.saved_step:
            return
        if self.checkpoints.save(self.run.step, {"position": self.run.position(), "run": self.about}):
            self.saved_step = self.run.step

    def _recorded(self) -> dict[str, Any]:
        """The settings, which videos were trained on, and what their corpus says of itself."""
        corpus = self.run.corpus
        about = {} if corpus is None else {"corpus": asdict(corpus)}
        return {**asdict(self.config), **self.run.trained_on.recorded(), **about}

    def _publish(self) -> bool:
        """Writes `model/` and pushes it, if there has been a step since; returns whether it could be written."""
        if self.published_step == self.run.step:
            return True
        model, written = self.run.model_now(), True
        if self.is_main:
            try:
                metrics = self.output_dir / "metrics.jsonl"
                write_model(model, self.run.processor, self._recorded(), metrics, self.output_dir / "model")
                if self.push is not None:
                    self.push.push(self._push_message)
            except (OSError, ValueError, SafetensorError) as error:
                logger.error("%s could not be written: %s", self.output_dir / "model", error)
                written = False
        if written := self.checkpoints.agree(written):
            self.published_step = self.run.step
        return written
