# SPDX-License-Identifier: Apache-2.0
"""The clips of a run, and the loader of each epoch."""

import hashlib
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset, load_dataset
from torch.utils.data import DataLoader

from ..data import ClipCollator, Level, RandomCropAndFlip
from .config import TrainingConfig
from .sampler import ClipBatchSampler

logger = logging.getLogger(__name__)


def load_clips(config: TrainingConfig, split: str) -> Dataset:
    """
    Returns the rows of a split whose video is on disk.

    Raises:
        FileNotFoundError: no video of the split is.
    """
    dataset = load_dataset(
        "surglavi",
        config.level,
        data_dir=config.data_dir,
        split=split,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
    )
    if not len(dataset):
        raise ValueError(f"the split {split} of {config.data_dir} has no clips; change the fractions or level")
    names = list(dataset["video_name"])
    clips = {name: dataset[row]["clip"] for name, row in dict(zip(names, range(len(names)), strict=True)).items()}
    missing = {name for name, clip in clips.items() if not clip.available}
    if len(missing) == len(clips):
        example = f", for example {next(iter(clips.values())).path}" if clips else ""
        raise FileNotFoundError(
            f"none of the {len(clips)} videos of {config.data_dir} ({split}) is on disk{example}; "
            "download them to videos/"
        )
    if not missing:
        return dataset
    kept = [index for index, name in enumerate(names) if name not in missing]
    left_out = len(dataset) - len(kept)
    logger.warning("%d of %d clips left out: %d videos are not on disk", left_out, len(dataset), len(missing))
    return dataset.select(kept)


def fingerprint(dataset: Dataset) -> str:
    """Returns a hash of what is trained on: captions, their texts, videos and times, in order."""
    digest = hashlib.sha256()
    columns = ["caption_id", "video_name", "level", "start_time", "end_time", "caption"]
    for batch in dataset.select_columns(columns).with_format("arrow").iter(10_000):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema.remove_metadata()) as writer:
            writer.write_table(batch.replace_schema_metadata().combine_chunks())
        digest.update(sink.getvalue())
    return digest.hexdigest()


class EpochLoader:
    """
    Loads the batches of an epoch, from any of them on. What they hold depends on the seed and the epoch alone, not on
    workers, nor on where loading started.

    Args:
        config: Of the run.
        dataset: Rows to train on.
        processor: A SurgCLIPProcessor.
        num_processes: How many share each batch.
        process_index: Which of them this is.
    """

    def __init__(self, config: TrainingConfig, dataset: Dataset, processor, num_processes: int, process_index: int):
        self.dataset, self.num_workers = dataset, config.dataloader_num_workers
        self.prefetch_factor = config.dataloader_prefetch_factor
        augment = RandomCropAndFlip(config.min_crop_area, config.horizontal_flip)
        self.collator = ClipCollator(
            processor,
            sampling=config.frame_sampling,
            seed=config.seed,
            replacements=dataset if config.replace_unreadable else None,
            augment=None if augment == RandomCropAndFlip(1.0, 0.0) else augment,
        )
        weights = dict(zip((level - 1 for level in Level), config.level_weights, strict=True))
        self.batches = ClipBatchSampler(
            *(dataset["level"], dataset["video_id"]),
            batch_size=config.per_device_train_batch_size * num_processes,
            seed=config.seed,
            levels=config.levels,
            level_weights=weights if config.level == "all" else None,
            max_clips_per_video=config.max_clips_per_video,
        )
        self.shard = BatchSamplerShard(self.batches, num_processes, process_index, split_batches=True)

    def num_batches(self, epoch: int) -> int:
        """
        Returns how many batches an epoch has.

        Raises:
            ValueError: there are fewer clips than one batch.
        """
        return len(self.batches.of_epoch(epoch))

    def caption_ids(self, epoch: int, batches: slice) -> Sequence[int]:
        """Returns the ids of the captions of whole batches, of all processes."""
        rows = self.batches.of_epoch(epoch)[batches].reshape(-1).tolist()
        return self.dataset.select(rows)["caption_id"]

    def load(self, epoch: int, start: int = 0) -> Iterator[dict[str, torch.Tensor]]:
        """
        Returns this process's part of the batches of an epoch, from number `start` on. If a worker dies, asking for
        the next batch raises RuntimeError.
        """
        self.batches.set_epoch(epoch, start)
        self.collator.set_epoch(epoch)
        workers = {}
        if self.num_workers:
            # Forked workers would share locks and threads of whatever this process runs.
            workers = {"multiprocessing_context": "spawn", "prefetch_factor": self.prefetch_factor}
            workers["worker_init_fn"] = _leave_stopping_to_the_run
        loader = DataLoader(
            self.dataset,
            batch_sampler=self.shard,
            collate_fn=self.collator,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else it takes a random number from the training
            **workers,
        )
        batches = iter(loader)
        if self.num_workers and threading.current_thread() is threading.main_thread():
            handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if callable(handler):  # torch sets it once a process
                _torch_handlers.append(handler)
        return batches


# torch's handler raises where the training is when a worker dies, between two collectives for example.
_torch_handlers = []


@contextmanager
def workers_may_fail() -> Iterator[None]:
    """Within it a worker that dies, or has died, raises RuntimeError; its queue might be waited for for ever."""
    if not _torch_handlers or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGCHLD, _torch_handlers[-1])
    try:
        _torch_handlers[-1](signal.SIGCHLD, None)
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _leave_stopping_to_the_run(worker: int) -> None:
    """Signals to the process group reach the workers, too, whose run then wants a last batch and a checkpoint."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
