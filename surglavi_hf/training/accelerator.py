# SPDX-License-Identifier: Apache-2.0
"""The processes of a run, as Accelerate knows them."""

import hashlib
import json
import logging
import time
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin, PartialState
from accelerate.utils import DistributedType, GradientAccumulationPlugin, ProjectConfiguration
from accelerate.utils.environment import parse_flag_from_env

from .config import TrainingConfig

logger = logging.getLogger(__name__)

_OF_A_MACHINE = ("data_dir", "video_dir", "output_dir")  # may lie elsewhere on each


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """
    Returns the Accelerator of a run, as `accelerate launch` or torchrun and the settings describe it.

    Raises:
        ValueError: a tracker is not installed, or a setting does not go with what the launcher was told.
    """
    output_dir = Path(config.output_dir)
    accelerator = Accelerator(
        # Processes that torchrun starts on a machine without accelerators would not find one another.
        cpu=not torch.accelerator.is_available() and not parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"),
        mixed_precision=config.mixed_precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=config.gradient_accumulation_steps, sync_with_dataloader=False
        ),
        log_with=config.report_to or None,
        project_config=ProjectConfiguration(str(output_dir), logging_dir=str(output_dir / "trackers")),
    )
    if accelerator.distributed_type == DistributedType.MULTI_CPU and parse_flag_from_env("ACCELERATE_USE_FSDP"):
        _shard_on_cpus(accelerator)
    known = {str(getattr(tracker, "value", tracker)) for tracker in accelerator.log_with}
    for name in config.report_to:
        if name not in known:
            raise ValueError(f"report_to={name}: no tracker of that name is installed; install it, or leave it out")
    if accelerator.distributed_type == DistributedType.FSDP:
        if not accelerator.is_fsdp2:
            raise ValueError("FSDP 1 cannot share out the gradient of the temperature; set fsdp_version: 2")
        if "SHARDED" not in str(accelerator.state.fsdp_plugin.state_dict_type):
            raise ValueError("a full disk would leave processes waiting; set fsdp_state_dict_type: SHARDED_STATE_DICT")
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        if config.mini_batch_size:
            raise ValueError("mini_batch_size does not work with DeepSpeed, which steps by itself; use DDP or FSDP")
        settings = accelerator.state.deepspeed_plugin.deepspeed_config
        settings["train_micro_batch_size_per_gpu"] = config.per_device_train_batch_size
        settings["gradient_clipping"] = config.max_grad_norm
    return accelerator


def check_agreement(accelerator: Accelerator, config: TrainingConfig) -> None:
    """
    Every process must call it.

    Raises:
        ValueError: processes were told different settings, as where a file of settings lies on one machine only.
    """
    text = json.dumps({name: value for name, value in asdict(config).items() if name not in _OF_A_MACHINE})
    mine = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
    others = accelerator.gather(torch.tensor([mine], device=accelerator.device))
    if not bool((others == mine).all()):
        raise ValueError("processes were given different settings; give all machines the same flags and files")


def end_processes(accelerator: Accelerator) -> None:
    """Ends trackers and the process group."""
    for tracker in accelerator.trackers:
        try:
            tracker.finish()
        except Exception as error:  # whatever a tracker's library raises
            logger.warning("a tracker failed at the end: %s", error)
    accelerator.trackers = []
    if accelerator.num_processes > 1 and accelerator.device.type == "cpu":
        # A thread of gloo may still hold a tensor of the last collective. To let it go it needs Python's lock, which
        # the process group holds while it is destroyed and waits for that thread (torch 2.13).
        time.sleep(0.5)
    accelerator.end_training()


def _shard_on_cpus(accelerator: Accelerator) -> None:
    """Turns FSDP on, which accelerate (1.15) takes for plain data parallelism on CPUs, and says nothing."""
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP  # from which every other state is filled
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
