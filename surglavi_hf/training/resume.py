# SPDX-License-Identifier: Apache-2.0
"""Whether a run goes on as the one it resumes."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from .config import REVISION_OF, TrainingConfig

logger = logging.getLogger(__name__)

SETTINGS_NAME = "training.json"

# Say what this start is to do, not what the run is.
_OF_THE_START = {"output_dir", "resume", "dry_run"}
# Change no number of the run.
_HARMLESS = {"dataloader_num_workers", "dataloader_prefetch_factor", "replace_unreadable", "report_to"}
_HARMLESS |= {"save_steps", "save_total_limit", "eval_steps", "max_eval_clips", "push_to_hub", "hub_model_id"}
# Where rows come from and which, of which `clips` says what matters.
_HARMLESS |= {"data_dir", "dataset_name", "dataset_config_name", "dataset_revision", "video_dir", "available_only"}
_HARMLESS |= {"filter_pairs", "enhanced_captions", "min_duration", "max_duration", "deduplicate"}
# Change how numbers are rounded, or which random numbers dropout takes.
_ROUNDING = {"mini_batch_size", "gradient_checkpointing", "torch_compile", "per_device_train_batch_size"}
_ROUNDING |= {"num_processes", "torch", "transformers", "accelerate", "numpy"}


def describe_run(config: TrainingConfig, num_processes: int, distributed_type: str, data: str) -> dict[str, Any]:
    """Returns what the course of a run depends on, by name; saved with every checkpoint."""
    settings = {name: value for name, value in asdict(config).items() if name not in _OF_THE_START}
    return {
        **settings,
        "num_processes": num_processes,
        "global_batch_size": num_processes * config.per_device_train_batch_size,
        "distributed_type": distributed_type,
        "clips": data,
        **{name: version(name) for name in ("torch", "transformers", "accelerate", "numpy")},
    }


def check_resumed(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """
    Compares what [`describe_run`] said when a checkpoint was saved with what it says now, and warns of each change
    that leaves the run what it is.

    Raises:
        ValueError: naming each change that makes it another run.
    """
    changed = [
        name for name in (*now, *(name for name in saved if name not in now)) if saved.get(name) != now.get(name)
    ]
    refused = []
    for name in changed:
        change = f"{name} was {saved.get(name)}, is {now.get(name)}"
        if name in _HARMLESS:
            logger.warning("resuming with a changed setting, which changes no result: %s", change)
        elif name in REVISION_OF.values() and saved.get(name) is None:
            logger.warning("this run did not write down of which commit it started: %s", change)
        elif name in _ROUNDING:
            logger.warning("resuming with a change, after which losses agree but not to the last digit: %s", change)
        else:
            refused.append(change)
    if refused:
        raise ValueError(
            f"cannot resume as another run: {'; '.join(refused)}; give what it was, or train into a new output_dir"
        )
