# SPDX-License-Identifier: Apache-2.0
"""Runs that can be killed, started fast: a process that has imported everything is forked for each."""

import json
import logging
import multiprocessing
import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from datasets import load_dataset

from surglavi_hf import TrainingConfig, train
from surglavi_hf.media import FrameStoreOptions, VideoLibrary, build_frame_stores
from surglavi_hf.training.__main__ import main
from surglavi_hf.training.start import new_tiny_model

from . import faults

FSDP = {
    **{"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"},
    **{"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT", "FSDP_RESHARD_AFTER_FORWARD": "true"},
    **{"FSDP_CPU_RAM_EFFICIENT_LOADING": "false"},
}


@pytest.fixture(scope="session")
def stored_corpus(corpus, tmp_path_factory) -> Path:
    """The drawn corpus with frame stores beside its videos; nothing may write to it."""
    folder = tmp_path_factory.mktemp("stored") / "corpus"
    shutil.copytree(corpus, folder)
    build_frame_stores(VideoLibrary(folder), FrameStoreOptions(fps=4, short_side=48))
    return folder


@pytest.fixture(scope="session")
def dropout_model(corpus, tmp_path_factory) -> Path:
    """A tiny model that drops at random, so that random numbers matter."""
    folder = tmp_path_factory.mktemp("dropout") / "model"
    captions = load_dataset("surglavi", data_dir=str(corpus), split="train")["caption"]
    torch.manual_seed(0)
    model, processor = new_tiny_model(captions)
    model.config.vision_config.drop_path_rate = 0.2
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        setattr(model.config.text_config, name, 0.1)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def forkserver():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["surglavi_hf.training.__main__", "transformers.models.bert.modeling_bert"])
    return context


@pytest.fixture
def start_run(forkserver) -> Callable[..., multiprocessing.Process]:
    """Starts a training in a process of its own."""
    processes = []

    def start(**settings) -> multiprocessing.Process:
        processes.append(forkserver.Process(target=train_here, args=(settings,)))
        processes[-1].start()
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.join()


def train_here(settings: dict) -> None:
    os.setpgrp()  # a group of its own, as clusters and torchrun signal one
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    train(TrainingConfig(**settings))


@dataclass
class Ended:
    """How the processes of a run ended: exit statuses and what they said, by rank."""

    statuses: list[int]
    errors: list[str]


@pytest.fixture
def run_processes(forkserver, tmp_path_factory) -> Callable[..., Ended]:
    """Runs `python -m surglavi_hf.training` in processes that know of one another, and lets faults happen."""

    def run(arguments: list[str], num_processes: int = 2, fault: str | None = None, **environment: str) -> Ended:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        folder = tmp_path_factory.mktemp("errors")
        environment |= {"WORLD_SIZE": str(num_processes), "LOCAL_WORLD_SIZE": str(num_processes)}
        if num_processes == 1:
            environment = {}
        processes = [
            forkserver.Process(
                target=_run_rank, args=(arguments, rank, num_processes, fault, environment, str(folder / str(rank)))
            )
            for rank in range(num_processes)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=120)
        late = [process.kill() for process in processes if process.is_alive()]
        assert not late, "a process waits for ever"
        return Ended(
            [process.exitcode for process in processes],
            [(folder / str(rank)).read_text() for rank in range(num_processes)],
        )

    return run


def _run_rank(arguments: list[str], rank: int, num_processes: int, fault: str | None, environment: dict, errors: str):
    os.environ |= {"OMP_NUM_THREADS": "1", **environment}
    if num_processes > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)

    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    logging.lastResort = logging.StreamHandler(sys.stderr)
    if fault is not None:
        getattr(faults, fault)(rank, Path(arguments[arguments.index("--output_dir") + 1]))
    sys.exit(main(arguments))


def metrics_of(output_dir: Path) -> list[dict]:
    path = output_dir / "metrics.jsonl"
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]  # a run that is at work may be writing the last line
    return [json.loads(line) for line in whole.splitlines()]
