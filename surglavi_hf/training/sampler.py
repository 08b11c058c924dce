# SPDX-License-Identifier: Apache-2.0
"""Which clips make a batch."""

import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from .config import LevelMixing

logger = logging.getLogger(__name__)


class ClipBatchSampler(Sampler[list[int]]):
    """
    Batches of a whole epoch as a pure function of (seed, epoch), the same on every process; each process's part of a
    batch is for Accelerate's `BatchSamplerShard(split_batches=True)` to take. Clips that do not fill a batch are left
    to another epoch.

    Args:
        level: Level of each clip, a number.
        video: Video of each clip, a number.
        batch_size: Clips of all processes together.
        seed: Of the order.
        level_mixing: `"mixed"` draws batches from all clips, `"one-level"` each from the clips of one level,
            `"balanced"` each from all levels in fixed parts, until one of them has no clips left.
        level_weights: A weight for each level, 1 by default. With `"balanced"` the parts of a batch; otherwise how
            many times an epoch has each clip of the level, where half a time is half of the clips.
        max_clips_per_video: How many clips of a video a batch may have. Clips of a video are spread over the epoch.

    Raises:
        ValueError: when an epoch is made: it has not a single batch, or a level has no part in balanced batches.
    """

    def __init__(
        self,
        level: Sequence[int],
        video: Sequence[int],
        batch_size: int,
        seed: int,
        level_mixing: LevelMixing = "mixed",
        level_weights: dict[int, float] | None = None,
        max_clips_per_video: int | None = None,
    ):
        self.level, self.batch_size, self.seed, self.level_mixing = np.asarray(level), batch_size, seed, level_mixing
        self.video = np.unique(np.asarray(video), return_inverse=True)[1]
        self.drop_last = True
        present = np.unique(self.level).tolist()
        self.weights = {number: (level_weights or {}).get(number, 1.0) for number in present}
        self.max_clips_per_video = max_clips_per_video
        if not any(self.weights.values()):
            raise ValueError(self._too_few())
        self.epoch = self.start = 0
        self._of_epoch: tuple[int, np.ndarray] | None = None

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Sets which epoch is iterated over, and from which of its batches on."""
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        return len(self.of_epoch(self.epoch)) - self.start

    def __iter__(self) -> Iterator[list[int]]:
        yield from self.of_epoch(self.epoch)[self.start :].tolist()

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Returns the batches of an epoch, indices of shape `(num_batches, batch_size)`."""
        if self._of_epoch is None or self._of_epoch[0] != epoch:
            self._of_epoch = (epoch, self._make(np.random.default_rng([self.seed, epoch])))
        return self._of_epoch[1]

    def _make(self, random: np.random.Generator) -> np.ndarray:
        if self.level_mixing == "balanced":
            streams = [np.flatnonzero(self.level == number) for number in self.weights]
            batches = self._fill([self._shuffle(stream, random) for stream in streams], self._parts())
        else:
            streams = [self._draw(number, weight, random) for number, weight in self.weights.items()]
            if self.level_mixing == "mixed":
                streams = [np.concatenate(streams)]
            parts = [self._fill([self._shuffle(stream, random)], [self.batch_size]) for stream in streams]
            for stream, part in zip(streams, parts, strict=True):
                if len(stream) and not len(part) and any(map(len, parts)):
                    logger.warning("%d clips of one level do not fill a batch of %d", len(stream), self.batch_size)
            batches = np.concatenate(parts)
        if not len(batches):
            raise ValueError(self._too_few())
        if len(self.weights) > 1 and self.level_mixing == "one-level":
            batches = random.permutation(batches)
        # Within a batch, too: processes take consecutive parts of it.
        return random.permuted(batches, axis=1)

    def _draw(self, number: int, weight: float, random: np.random.Generator) -> np.ndarray:
        """Returns the clips of a level that an epoch has."""
        clips = np.flatnonzero(self.level == number)
        times, share = divmod(weight, 1)
        part = random.permutation(clips)[: round(share * len(clips))]
        return np.concatenate([np.tile(clips, int(times)), part])

    def _shuffle(self, clips: np.ndarray, random: np.random.Generator) -> np.ndarray:
        clips = random.permutation(clips)
        if self.max_clips_per_video is None:
            return clips
        # The i-th of m clips of a video comes at a random point of the i-th of m equal parts of the epoch.
        order = np.argsort(self.video[clips], kind="stable")
        counts = np.bincount(self.video[clips])
        number = np.empty(len(clips), dtype=np.int64)
        number[order] = np.arange(len(clips)) - np.repeat(np.cumsum(counts) - counts, counts)
        return clips[np.argsort((number + random.random(len(clips))) / counts[self.video[clips]], kind="stable")]

    def _parts(self) -> list[int]:
        """Returns how many clips of each level a batch has: in proportion to the weights, largest remainders first."""
        exact = np.array(list(self.weights.values())) / sum(self.weights.values()) * self.batch_size
        parts = exact.astype(int)
        for place in np.argsort(parts - exact, kind="stable")[: self.batch_size - parts.sum()]:
            parts[place] += 1
        if not all(parts[exact > 0]):
            raise ValueError(
                f"level_weights {list(self.weights.values())} leave a level out of balanced batches of "
                f"{self.batch_size} clips; weigh them more alike, or raise per_device_train_batch_size"
            )
        return parts.tolist()

    def _fill(self, streams: list[np.ndarray], parts: list[int]) -> np.ndarray:
        """Returns as many batches of `parts[i]` clips of `streams[i]` as there are, in their order."""
        if self.max_clips_per_video is None:
            num = min(len(stream) // part for stream, part in zip(streams, parts, strict=True) if part)
            cut = [stream[: num * part].reshape(num, part) for stream, part in zip(streams, parts, strict=True)]
            return np.concatenate(cut, axis=1)
        batches, video = [], self.video.tolist()
        waiting = [deque(stream.tolist()) for stream in streams]
        while True:
            batch, count = [], Counter()
            for stream, part in zip(waiting, parts, strict=True):
                passed, wanted = [], len(batch) + part
                while len(batch) < wanted and stream:
                    clip = stream.popleft()
                    if count[video[clip]] < self.max_clips_per_video:
                        count[video[clip]] += 1
                        batch.append(clip)
                    else:
                        passed.append(clip)
                stream.extendleft(reversed(passed))
                if len(batch) < wanted:
                    return np.array(batches, dtype=np.int64).reshape(-1, self.batch_size)
            batches.append(batch)

    def _too_few(self) -> str:
        limit = self.max_clips_per_video
        rules = f" of at most {limit} a video" if limit else ""
        return (
            f"{len(self.level)} clips of {len(np.unique(self.video))} videos to train on, fewer than one batch of "
            f"{self.batch_size}{rules} (level_mixing={self.level_mixing}); lower per_device_train_batch_size"
        )
