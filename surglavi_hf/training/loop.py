# SPDX-License-Identifier: Apache-2.0
"""The training loop."""

import itertools
import json
import logging
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from datasets import Dataset, load_dataset
from torch.utils.data import DataLoader
from transformers import get_cosine_with_min_lr_schedule_with_warmup

from ..data import ClipCollator
from .config import TrainingConfig
from .log import MetricsLog
from .loss import ContrastiveLoss
from .sampler import EpochSampler
from .start import start

logger = logging.getLogger(__name__)

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.001, 0.5  # VindLU's bounds
MIN_LR_RATE = 0.01  # VindLU's floor of the cosine, as a share of the peak


def train(config: TrainingConfig) -> Path:
    """
    Trains SurgCLIP on clip-caption pairs and returns the folder of the trained model, `<output_dir>/model`.

    Every process of an `accelerate launch` must call it; the global batch has `per_device_train_batch_size` clips
    times the number of processes. Also writes `<output_dir>/metrics.jsonl`, a line a step, and `training.json`.

    Raises:
        FileExistsError: `output_dir` already holds a model.
        FileNotFoundError: no database in `data_dir`, or none of its videos on disk.
        ValueError: a setting is out of range, or there are fewer clips than one batch.
        VideoDecodeError: a video cannot be decoded, with `replace_unreadable` ten in a row.
    """
    # One loader of global batches, of which each process takes its part: what is learned from when does not depend on
    # the number of processes.
    accelerator = Accelerator(dataloader_config=DataLoaderConfiguration(split_batches=True))
    output_dir = Path(config.output_dir)
    if (output_dir / "model").exists():
        raise FileExistsError(f"{output_dir / 'model'} already exists; name a new output_dir, or remove it")
    set_seed(config.seed)
    with accelerator.main_process_first():
        dataset = _load_clips(config)
    model, processor = start(config.model_name_or_path, dataset["caption"])
    set_seed(config.seed, device_specific=True)  # from here on for dropout, which must differ between processes
    loader = _make_loader(config, dataset, processor, accelerator.num_processes)
    sampler, collator = loader.sampler, loader.collate_fn
    max_steps = config.max_steps if config.max_steps > 0 else config.num_train_epochs * len(loader)
    optimizer = _make_optimizer(config, model)
    scheduler = get_cosine_with_min_lr_schedule_with_warmup(
        optimizer, math.ceil(config.warmup_ratio * max_steps), max_steps, min_lr_rate=MIN_LR_RATE
    )
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    loss_function = ContrastiveLoss()
    model.train()

    if accelerator.is_main_process:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "training.json").write_text(json.dumps(asdict(config), indent=2) + "\n")
    with MetricsLog(
        output_dir / "metrics.jsonl", max_steps, loader.total_batch_size, accelerator.is_main_process
    ) as log:
        for step, epoch, batch in _batches(loader, sampler, collator, max_steps):
            learning_rate = scheduler.get_last_lr()[0]
            loss, temperature = _update(accelerator, model, loss_function, optimizer, batch, config.max_grad_norm)
            scheduler.step()
            replaced = _replaced(accelerator, batch)
            log.write(loss, replaced, step=step, epoch=epoch, learning_rate=learning_rate, temperature=temperature)
    if accelerator.is_main_process:
        _save(accelerator.unwrap_model(model), processor, output_dir / "model")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return output_dir / "model"


def _load_clips(config: TrainingConfig) -> Dataset:
    """The training rows whose video is on disk."""
    dataset = load_dataset(
        "surglavi",
        config.level,
        data_dir=config.data_dir,
        split="train",
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
    )
    names = list(dataset["video_name"])
    clips = {name: dataset[row]["clip"] for name, row in dict(zip(names, range(len(names)), strict=True)).items()}
    missing = {name for name, clip in clips.items() if not clip.available}
    if len(missing) == len(clips):
        example = f", for example {next(iter(clips.values())).path}" if clips else ""
        raise FileNotFoundError(
            f"none of the {len(clips)} videos of {config.data_dir} is on disk{example}; download them to videos/"
        )
    if not missing:
        return dataset
    kept = [index for index, name in enumerate(names) if name not in missing]
    left_out = len(dataset) - len(kept)
    logger.warning("%d of %d clips left out: %d videos are not on disk", left_out, len(dataset), len(missing))
    return dataset.select(kept)


def _make_loader(config: TrainingConfig, dataset: Dataset, processor, num_processes: int) -> DataLoader:
    batch_size = config.per_device_train_batch_size * num_processes
    if len(dataset) < batch_size:
        raise ValueError(
            f"{len(dataset)} clips to train on, fewer than one batch of {batch_size}; "
            "lower per_device_train_batch_size"
        )
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), config.seed),
        collate_fn=ClipCollator(
            processor,
            sampling="rand",
            seed=config.seed,
            replacements=dataset if config.replace_unreadable else None,
        ),
        num_workers=config.dataloader_num_workers,
        drop_last=True,
    )


def _make_optimizer(config: TrainingConfig, model: torch.nn.Module) -> torch.optim.AdamW:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _batches(
    loader: DataLoader, sampler: EpochSampler, collator: ClipCollator, max_steps: int
) -> Iterator[tuple[int, int, dict[str, torch.Tensor]]]:
    """Yields (step, epoch, batch) for steps 1 to `max_steps`, epoch after epoch."""
    step = 0
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        collator.set_epoch(epoch)
        for batch in loader:
            step += 1
            yield step, epoch, batch
            if step == max_steps:
                return


def _update(
    accelerator: Accelerator,
    model: torch.nn.Module,
    loss_function: ContrastiveLoss,
    optimizer: torch.optim.Optimizer,
    batch: dict[str, torch.Tensor],
    max_grad_norm: float,
) -> tuple[float, float]:
    """Makes one optimizer step, on every process; returns the loss of the global batch and the temperature."""
    temperature = accelerator.unwrap_model(model).temp
    outputs = model(batch["pixel_values"], batch["input_ids"], batch["attention_mask"])
    loss = loss_function(outputs.video_embeds, outputs.text_embeds, temperature)
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        temperature.clamp_(MIN_TEMPERATURE, MAX_TEMPERATURE)
    return accelerator.reduce(loss.detach(), reduction="mean").item(), temperature.item()


def _replaced(accelerator: Accelerator, batch: dict[str, torch.Tensor]) -> list[int]:
    """Returns the ids of captions of the global batch that were replaced because their clip cannot be read."""
    if "asked_caption_id" not in batch:
        return []
    asked, used = accelerator.gather((batch["asked_caption_id"], batch["caption_id"]))
    return asked[asked != used].tolist()


def _save(model, processor, folder: Path) -> None:
    """Writes beside and renames, so that `folder` is never half there."""
    beside = folder.with_name(f".{folder.name}-unfinished")
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside)
    processor.save_pretrained(beside)
    beside.rename(folder)
