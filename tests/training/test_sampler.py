# SPDX-License-Identifier: Apache-2.0
from surglavi_hf.training.sampler import EpochSampler


def order(seed: int, epoch: int, length: int = 100) -> list[int]:
    sampler = EpochSampler(length, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_a_pure_function_of_seed_and_epoch():
    sampler = EpochSampler(100, 1)
    first = list(sampler)
    sampler.set_epoch(3)
    assert list(sampler) == list(sampler) == order(1, 3)
    sampler.set_epoch(0)
    assert list(sampler) == first == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(5) for epoch in range(5)}) == 25


def test_each_index_once():
    assert sorted(order(0, 7)) == list(range(100)) and len(EpochSampler(100, 0)) == 100
