# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from datasets import load_dataset
from torch.utils.data import DataLoader

from surglavi_hf import ClipCollator
from surglavi_hf.training.start import IMAGE_SIZE, NUM_FRAMES, new_tiny_model


@pytest.fixture(scope="module")
def dataset(corpus):
    return load_dataset("surglavi", data_dir=str(corpus), split="train")


@pytest.fixture(scope="module")
def processor(dataset):
    return new_tiny_model(dataset["caption"])[1]


def test_shapes(dataset, processor):
    rows = [dataset[index] for index in range(5)]
    batch = ClipCollator(processor)(rows)
    assert batch["pixel_values"].shape == (5, NUM_FRAMES, 3, IMAGE_SIZE, IMAGE_SIZE)
    assert batch["input_ids"].shape == batch["attention_mask"].shape and len(batch["input_ids"]) == 5
    for name in ("caption_id", "video_id", "level", "start_time", "end_time"):
        assert batch[name].tolist() == [row[name] for row in rows]
    assert ClipCollator(processor, num_frames=3)(rows)["pixel_values"].shape[1] == 3


def test_random_frames_depend_on_seed_epoch_and_caption_alone(dataset, processor):
    collator = ClipCollator(processor, sampling="rand", seed=5)
    rows = [dataset[index] for index in range(4)]
    first = collator(rows)["pixel_values"]
    assert torch.equal(collator(rows[::-1])["pixel_values"].flip(0), first), "the place in the batch matters"
    loader = DataLoader(dataset.select(range(4)), 2, collate_fn=collator, num_workers=2)
    assert torch.equal(torch.cat([batch["pixel_values"] for batch in loader]), first), "the worker matters"
    collator.set_epoch(1)
    assert not torch.equal(collator(rows)["pixel_values"], first)
    collator.set_epoch(0)
    assert torch.equal(collator(rows)["pixel_values"], first)
    assert not torch.equal(ClipCollator(processor, sampling="rand", seed=6)(rows)["pixel_values"], first)
