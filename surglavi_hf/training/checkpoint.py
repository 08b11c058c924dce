# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: all that a run needs to go on as if it had not stopped."""

import json
import logging
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from accelerate.utils.other import load as load_tensors
from safetensors import SafetensorError
from torch.distributed.checkpoint import CheckpointException

from ..files import digest, unfinished_path, write_text

logger = logging.getLogger(__name__)

STATE_NAME, DIGESTS_NAME = "trainer_state.json", "digests.json"
_NAME = re.compile(r"step-(\d{8,})")
# What writers of torch and safetensors raise for a full disk, beside OSError.
_CANNOT_WRITE = (OSError, RuntimeError, SafetensorError, CheckpointException)


class Checkpoints:
    """
    The folder of a run's checkpoints, `step-00000500/` and so on. A checkpoint is there whole or not at all: it is
    written beside and renamed once every process has written its part. Every process must make one, and call its
    methods together.

    The main process writes; where the folder is not on a disk that all machines share, a process of each machine does.

    Args:
        folder: Made where it is absent.
        accelerator: Has prepared the model and the optimizer.
        total_limit: How many are kept.

    Raises:
        ValueError: parts of one model would lie on disks of several machines.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, total_limit: int):
        self.folder, self.accelerator, self.total_limit = folder, accelerator, total_limit
        folder.mkdir(parents=True, exist_ok=True)
        self.on_each_node = not self._is_shared()
        sharded = accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
        if self.on_each_node and sharded:
            raise ValueError(f"{folder} is not on a disk that all machines share, which sharded checkpoints need")
        accelerator.project_configuration.save_on_each_node = self.on_each_node
        self.is_writer = accelerator.is_local_main_process if self.on_each_node else accelerator.is_main_process
        if self.is_writer:
            for leftover in folder.glob(".step-*"):
                shutil.rmtree(leftover, ignore_errors=True)
        accelerator.wait_for_everyone()

    def _is_shared(self) -> bool:
        token = self.folder / ".shared"
        if self.accelerator.is_main_process:
            token.touch()
        self.accelerator.wait_for_everyone()
        seen = self.agree(token.exists())
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            token.unlink()
        return seen

    def agree(self, mine: bool) -> bool:
        """Returns whether all processes say yes."""
        return bool(self.accelerator.gather(torch.tensor([int(mine)], device=self.accelerator.device)).min())

    def save(self, step: int, state: dict[str, Any]) -> bool:
        """
        Saves the run after `step` steps, with `state` as JSON, and then removes what is beyond the limit. Where it
        cannot be written, on a full disk say, the error is logged and what was there stays; returns whether it could.
        """
        name = f"step-{step:08d}"
        beside = unfinished_path(self.folder / name)
        error = None
        try:
            if self.is_writer:
                shutil.rmtree(beside, ignore_errors=True)
                beside.mkdir()
        except OSError as caught:
            error = caught
        if self.agree(error is None):
            try:
                self.accelerator.save_state(str(beside))
                _flush(beside)
            except _CANNOT_WRITE as caught:
                error = caught
        if self.agree(error is None):  # every part is there
            try:
                if self.is_writer:
                    write_text(beside / STATE_NAME, json.dumps({"step": step, **state}, indent=2) + "\n")
                    _write_digests(beside)
            except OSError as caught:
                error = caught
        if not self.agree(error is None):
            if error is not None:
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                logger.error("checkpoint %s could not be written (%s); the one before it stays", name, reason)
            if self.is_writer:
                shutil.rmtree(beside, ignore_errors=True)
            self.accelerator.wait_for_everyone()
            return False
        if self.is_writer:
            self._set_aside(self.folder / name)
            beside.rename(self.folder / name)
            for old in self.all()[: -self.total_limit]:
                shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        return True

    def set_aside_after(self, step: int) -> None:
        """Renames checkpoints after `step`, of a course that is left, so that none is taken for one of this run."""
        if self.is_writer:
            for path in self.all():
                if int(path.name.removeprefix("step-")) > step:
                    logger.warning("%s is newer than step %d, where this run goes on; set aside", path, step)
                    self._set_aside(path)
        self.accelerator.wait_for_everyone()

    def _set_aside(self, path: Path) -> None:
        if path.exists():
            aside = path.with_name(f"aside-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)

    def all(self) -> list[Path]:
        """Returns the checkpoints there are on this machine, the newest last."""
        found = [
            path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and (path / STATE_NAME).is_file()
        ]
        return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))

    def newest(self) -> Path | None:
        """
        Returns the newest checkpoint that every process sees and that is as it was written; warns of those that are
        not.

        Raises:
            ValueError: there are some, but not one is as it was written.
        """
        steps, damaged = {int(path.name.removeprefix("step-")) for path in self.all()}, None
        while step := self._newest_of(steps):
            path = self.folder / f"step-{step:08d}"
            try:
                self.check(path)
                return path
            except ValueError as error:
                steps, damaged = {number for number in steps if number < step}, error
                if steps and self.is_writer:
                    logger.warning("%s", str(error).replace("name another", "the one before it is taken"))
        if damaged is not None:
            raise damaged
        return None

    def _newest_of(self, steps: set[int]) -> int:
        """Returns the last of the steps that every process has, 0 for none."""
        seen = self.accelerator.gather(torch.tensor([max(steps, default=0)], device=self.accelerator.device))
        while (step := int(seen.min())) and not self.agree(step in steps):
            below = max((number for number in steps if number < step), default=0)
            seen = self.accelerator.gather(torch.tensor([below], device=self.accelerator.device))
        return step

    def check(self, path: Path) -> None:
        """
        Reads all files of a checkpoint, once a machine or once in all, for whether they are as they were written.

        Raises:
            ValueError: naming one that is not; on all processes.
        """
        damage = _damage(path) if self.is_writer else None
        if not self.agree(damage is None):
            raise ValueError(f"checkpoint {path} is damaged: {damage or 'see the first process'}; name another")

    def load(self, path: Path) -> None:
        """
        Puts model, optimizer, scaler and random numbers back as they were; what is damaged is for `check` to find.

        Raises:
            ValueError: a file is missing or broken.
        """
        index = self.accelerator.process_index
        random_numbers = path / f"random_states_{index}.pkl"
        try:
            if random_numbers.is_file():
                load_tensors(random_numbers)  # what cannot be read, load_state passes over
            self.accelerator.load_state(str(path))
        except pickle.UnpicklingError as error:  # whose text tells how to run what the file holds
            raise ValueError(f"checkpoint {path} cannot be read: it is broken, or holds more than tensors") from error
        except (*_CANNOT_WRITE, EOFError, KeyError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"checkpoint {path} cannot be read: {reason}; name another") from error
        if not random_numbers.is_file():
            logger.warning("%s has no random numbers of process %d; dropout takes others", path, index)


def read_state(path: Path) -> dict[str, Any]:
    """
    Returns what [`Checkpoints.save`] was given, and `step`.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: it is broken.
    """
    file = path / STATE_NAME
    if not file.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}, expected a folder such as checkpoints/step-00000500")
    try:
        state = json.loads(file.read_text())
        step = state["step"]
        if not isinstance(step, int) or step < 1:
            raise ValueError(f"step={step}")
        if not all(isinstance(state[name], dict) for name in ("position", "run")):
            raise ValueError("position or run is no object")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{file} is broken ({error}); name another checkpoint") from error
    return state


def _write_digests(folder: Path) -> None:
    """Writes a digest of each file there is: a bit that changes in a weight is a weight, too."""
    digests = {path.relative_to(folder).as_posix(): digest(path) for path in _files(folder)}
    write_text(folder / DIGESTS_NAME, json.dumps(digests, indent=2) + "\n")


def _damage(folder: Path) -> str | None:
    """Returns what of a checkpoint is not as it was written, None where all is."""
    try:
        digests = json.loads((folder / DIGESTS_NAME).read_text(encoding="utf-8"))
        if not isinstance(digests, dict) or STATE_NAME not in digests:
            return f"{DIGESTS_NAME} has no digests"
        for name, expected in digests.items():
            if (found := digest(folder / name)) != expected:
                return f"{name} is not what was written (digest {found}, expected {expected})"
    except FileNotFoundError as error:
        if error.filename == str(folder / DIGESTS_NAME):
            logger.warning(
                "%s has no %s, since it was written before there were any; not checked", folder, DIGESTS_NAME
            )
            return None
        return f"{Path(error.filename).name} is not there"
    except (OSError, ValueError, RecursionError) as error:
        return f"{DIGESTS_NAME} or a file it names cannot be read ({error})"
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flush(folder: Path) -> None:
    """Makes sure that files are on the disk before older ones are removed."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
