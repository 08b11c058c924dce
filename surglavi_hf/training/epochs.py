# SPDX-License-Identifier: Apache-2.0
"""The loader of each epoch."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset
from torch.utils.data import DataLoader

from ..data import ClipCollator, Level, RandomCropAndFlip
from .config import TrainingConfig
from .sampler import ClipBatchSampler


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
            level_mixing=config.level_mixing,
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
