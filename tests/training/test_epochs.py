# SPDX-License-Identifier: Apache-2.0
from itertools import islice
from pathlib import Path

import pytest
import torch

from surglavi_hf import TrainingConfig
from surglavi_hf.training.epochs import EpochLoader
from surglavi_hf.training.rows import fingerprint, load_rows
from surglavi_hf.training.start import new_tiny_model


def config(data_dir: Path, **settings) -> TrainingConfig:
    return TrainingConfig(str(data_dir), "out", per_device_train_batch_size=2, horizontal_flip=0.5, **settings)


def loader(data_dir: Path, processes: int = 1, index: int = 0, **settings) -> EpochLoader:
    options = config(data_dir, **settings)
    dataset = load_rows(options, "train")
    processor = new_tiny_model(dataset["caption"][:50])[1]
    return EpochLoader(options, dataset, processor, processes, index)


def batches(loader: EpochLoader, count: int, epoch: int = 0, start: int = 0) -> list[dict[str, torch.Tensor]]:
    """So many batches from a place on, over epochs."""
    found = []
    while len(found) < count:
        found += islice(loader.load(epoch, start), count - len(found))
        epoch, start = epoch + 1, 0
    return found


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_next_100_batches_from_anywhere_with_workers(stored_corpus):
    """121 batches an epoch: from its 70th on, into the next one."""
    plain = batches(loader(stored_corpus), 170)[70:]
    resumed = loader(stored_corpus, dataloader_num_workers=1)
    assert resumed.num_batches(0) == 121
    with_workers = batches(resumed, 100, epoch=0, start=70)
    assert len(plain) == len(with_workers) == 100
    assert all(same(*pair) for pair in zip(plain, with_workers, strict=True))
    ids = [number for batch in with_workers[:51] for number in batch["caption_id"].tolist()]
    assert ids == list(resumed.caption_ids(0, slice(70, 121)))


def test_processes_share_a_batch(stored_corpus):
    whole = batches(loader(stored_corpus, 2, 0), 5), batches(loader(stored_corpus, 2, 1), 5)
    for number, pair in enumerate(zip(*whole, strict=True)):
        ids = [number for part in pair for number in part["caption_id"].tolist()]
        assert ids == list(loader(stored_corpus, 2, 0).caption_ids(0, slice(number, number + 1)))


def test_loading_takes_no_random_numbers_from_the_training(stored_corpus):
    found = loader(stored_corpus)
    before = torch.get_rng_state()
    batches(found, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_fingerprint_is_of_what_is_trained_on(stored_corpus, corpus):
    dataset = load_rows(config(stored_corpus), "train")
    known = fingerprint(dataset)
    assert known == fingerprint(load_rows(config(corpus), "train")), "the same clips elsewhere"
    assert known == fingerprint(dataset.select(range(len(dataset))))
    assert known != fingerprint(dataset.select(range(len(dataset) - 1)))
    assert known != fingerprint(dataset.select([1, 0, *range(2, len(dataset))]))
    changed = dataset.map(lambda row: {"caption": row["caption"] + "."}, remove_columns="clip")
    assert known != fingerprint(changed)


def test_settings_reach_the_loader(stored_corpus):
    found = loader(stored_corpus, min_crop_area=1.0)
    assert found.collator.augment.flip == 0.5 and found.collator.sampling == "rand"
    assert loader(stored_corpus, frame_sampling="middle").collator.sampling == "middle"
    weighted = loader(stored_corpus, level_weights=[1.0, 0.0, 0.0])
    assert {batch["level"].max().item() for batch in batches(weighted, 20)} == {0}
    with pytest.raises(ValueError, match="fewer than one batch of 2000"):
        loader(stored_corpus, processes=1000).num_batches(0)
