# SPDX-License-Identifier: Apache-2.0
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.training.sampler import ClipBatchSampler

LEVEL = [0] * 60 + [1] * 30 + [2] * 12
VIDEO = [number % 17 for number in range(len(LEVEL))]


def batches(epoch: int = 0, seed: int = 1, batch_size: int = 8, **options) -> list[list[int]]:
    sampler = ClipBatchSampler(LEVEL, VIDEO, batch_size, seed, **options)
    sampler.set_epoch(epoch)
    return list(sampler)


OPTIONS = [
    {},
    {"level_mixing": "balanced"},
    {"level_mixing": "one-level"},
    {"max_clips_per_video": 1},
    {"level_mixing": "balanced", "max_clips_per_video": 1, "level_weights": {0: 2.0, 1: 1.0, 2: 1.0}},
    {"level_mixing": "one-level", "max_clips_per_video": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_pure_function_of_seed_and_epoch(options):
    sampler = ClipBatchSampler(LEVEL, VIDEO, 8, 1, **options)
    orders = {}
    for epoch in (2, 0, 1, 2, 0):
        sampler.set_epoch(epoch)
        found = list(sampler)
        assert found == list(sampler) == batches(epoch, **options) == orders.setdefault(epoch, found)
        assert len(sampler) == len(found)
    assert len({str(order) for order in [*orders.values(), batches(0, seed=2, **options)]}) == 4


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_from_any_batch_on(options):
    sampler = ClipBatchSampler(LEVEL, VIDEO, 8, 1, **options)
    sampler.set_epoch(3, start=2)
    assert list(sampler) == batches(3, **options)[2:] and len(sampler) == len(list(sampler))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("num_processes", [1, 2, 4])
def test_each_clip_once_an_epoch_over_processes(options, num_processes):
    """As Accelerate shards it: parts of one batch, together the batch, none twice."""
    sampler = ClipBatchSampler(LEVEL, VIDEO, 8, 1, **options)
    shards = [BatchSamplerShard(sampler, num_processes, index, split_batches=True) for index in range(num_processes)]
    together = [list(chain(*parts)) for parts in zip(*shards, strict=True)]
    assert together == list(sampler)
    counts = Counter(chain(*together))
    assert set(counts.values()) == {1}
    if not options:
        assert len(counts) == len(LEVEL) // 8 * 8, "only what does not fill a batch is left out"


def test_balanced_batches_have_fixed_parts():
    found = batches(batch_size=9, level_mixing="balanced")
    assert all(sorted(LEVEL[clip] for clip in batch) == [0, 0, 0, 1, 1, 1, 2, 2, 2] for batch in found)
    assert len(found) == 4, "until there are no phases left"
    weighted = batches(batch_size=8, level_mixing="balanced", level_weights={0: 5.0, 1: 2.0, 2: 1.0})
    assert all(Counter(LEVEL[clip] for clip in batch) == {0: 5, 1: 2, 2: 1} for batch in weighted)
    uneven = batches(batch_size=5, level_mixing="balanced", level_weights={0: 1.0, 1: 1.0, 2: 2.0})  # 1.25, 1.25, 2.5
    assert all(Counter(LEVEL[clip] for clip in batch) == {0: 1, 1: 1, 2: 3} for batch in uneven)
    two = batches(batch_size=8, level_mixing="balanced", level_weights={0: 1.0, 1: 1.0, 2: 0.0})
    assert all(Counter(LEVEL[clip] for clip in batch) == {0: 4, 1: 4} for batch in two)


def test_batches_of_one_level():
    found = batches(level_mixing="one-level")
    assert all(len({LEVEL[clip] for clip in batch}) == 1 for batch in found)
    order = [LEVEL[batch[0]] for batch in found]
    assert Counter(order) == {0: 7, 1: 3, 2: 1} and order != sorted(order)
    two = [int(batch[0] >= 60) for batch in ClipBatchSampler(LEVEL[:90], VIDEO[:90], 8, 1, "one-level")]
    assert Counter(two) == {0: 7, 1: 3} and two != sorted(two)


@pytest.mark.parametrize("level_mixing", ["mixed", "one-level"])
def test_weights_are_times_an_epoch(level_mixing):
    found = Counter(chain(*batches(batch_size=2, level_mixing=level_mixing, level_weights={0: 0.5, 1: 1.0, 2: 2.5})))
    assert Counter(LEVEL[clip] for clip in found.elements()) == {0: 30, 1: 30, 2: 30}
    assert max(found[clip] for clip in range(60)) == 1
    assert sorted(found[clip] for clip in range(90, 102)) == [2] * 6 + [3] * 6


@given(
    clips=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=80),
    batch_size=st.integers(1, 12),
    limit=st.integers(1, 3),
    level_mixing=st.sampled_from(["mixed", "balanced", "one-level"]),
    seed=st.integers(0, 5),
)
def test_at_most_so_many_clips_of_a_video(clips, batch_size, limit, level_mixing, seed):
    level, video = zip(*clips, strict=True)
    sampler = ClipBatchSampler(level, video, batch_size, seed, level_mixing, max_clips_per_video=limit)
    try:
        found = list(sampler)
    except ValueError as error:
        assert "fewer than one batch" in str(error) or "leave a level out" in str(error)
        return
    for batch in found:
        assert len(batch) == batch_size and max(Counter(video[clip] for clip in batch).values()) <= limit
    assert max(Counter(chain(*found)).values()) == 1


def test_a_limit_leaves_few_clips_out():
    """Clips of a video are spread over the epoch: 10,000 clips of 60 videos, one a video in a batch of 32."""
    random = np.random.default_rng(0)
    video = random.choice(60, size=10_000, p=random.dirichlet(np.full(60, 20.0)))
    sampler = ClipBatchSampler(np.zeros(10_000), video, 32, 0, max_clips_per_video=1)
    assert len(sampler) > 0.9 * 10_000 / 32


def test_a_limit_is_reached():
    """Batches of 4 of two videos, of which none may have more than 2 clips, are there if each has 2."""
    sampler = ClipBatchSampler([0] * 40, [0, 1] * 20, 4, 0, max_clips_per_video=2)
    assert len(sampler) == 10 and all(sum(clip % 2 for clip in batch) == 2 for batch in sampler)


def test_clips_of_a_video_are_spread_over_the_epoch():
    """The i-th of m clips comes in the i-th of m parts, so that each quarter has a quarter of them."""
    video = np.repeat(np.arange(4), 64)
    for seed in range(3):
        found = list(ClipBatchSampler(np.zeros(256), video, 8, seed, max_clips_per_video=8))
        quarters = [Counter(video[list(chain(*found[first : first + 8]))].tolist()) for first in range(0, 32, 8)]
        assert quarters == [Counter({0: 16, 1: 16, 2: 16, 3: 16})] * 4


def test_the_only_clip_of_a_video_may_come_at_any_time():
    places = []
    for seed in range(40):
        found = list(chain(*ClipBatchSampler([0] * 64, [0] * 63 + [1], 1, seed, max_clips_per_video=1)))
        places.append(found.index(63))
    assert min(places) < 16 and max(places) >= 48


def test_levels_that_would_never_be_seen(caplog):
    with pytest.raises(ValueError, match=r"leave a level out of balanced batches of 4 clips"):
        batches(batch_size=4, level_mixing="balanced", level_weights={0: 10.0, 1: 1.0, 2: 1.0})
    batches(batch_size=20, level_mixing="one-level")
    assert "12 clips of one level do not fill a batch of 20" in caplog.text
    caplog.clear()
    batches(level_mixing="one-level")
    batches(level_mixing="one-level", level_weights={0: 1.0, 1: 1.0, 2: 0.0})
    assert not caplog.text


def test_fewer_than_a_batch():
    with pytest.raises(ValueError, match="102 clips of 17 videos to train on, fewer than one batch of 103"):
        batches(batch_size=103)
    with pytest.raises(ValueError, match="one batch of 18 of at most 1 a video"):
        batches(batch_size=18, max_clips_per_video=1)
