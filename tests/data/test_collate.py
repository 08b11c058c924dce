# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from datasets import load_dataset
from torch.utils.data import DataLoader

from surglavi_hf import ClipCollator
from surglavi_hf.data import VideoClip
from surglavi_hf.media import VideoDecodeError, VideoLibrary
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


@pytest.mark.parametrize("format", [None, "torch", "numpy"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_dataloader_takes_rows_as_they_are(corpus, processor, format, streaming):
    """With nulls, which torch's own collation refuses."""
    rows = load_dataset("surglavi", "step", data_dir=str(corpus), split="train", streaming=streaming).take(6)
    plain = list(rows)
    assert {row["subject"] for row in plain} == {None}
    collator = ClipCollator(processor, sampling="rand", replacements=plain)
    (batch,) = DataLoader(rows.with_format(format), batch_size=6, num_workers=1, collate_fn=collator)
    expected = collator(plain)
    assert batch.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.equal(batch[name], values) and batch[name].dtype == values.dtype, name


def test_a_column_that_is_missing_is_named(dataset, processor):
    rows = dataset.select_columns(["clip", "caption", "level"])
    with pytest.raises(ValueError, match="; caption_id, video_id, start_time, end_time not found among clip, caption"):
        ClipCollator(processor)([rows[0]])


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


@pytest.fixture
def some_bad(dataset, tmp_path):
    """Of four videos one is missing and one cannot be decoded."""
    library = VideoLibrary(tmp_path)
    names = list(dict.fromkeys(dataset["video_name"]))[:4]
    for name in names[:3]:
        library.video_path(name).parent.mkdir(parents=True)
    for name in names[:2]:
        library.video_path(name).symlink_to(dataset[dataset["video_name"].index(name)]["clip"].path)
    library.video_path(names[2]).write_bytes(b"broken")
    rows = [index for index, name in enumerate(dataset["video_name"]) if name in names]
    return dataset.select(rows).cast_column("clip", VideoClip(video_dir=str(tmp_path))), set(names[:2])


def test_unreadable_clips_are_replaced(some_bad, processor, caplog):
    """By others that depend on seed, epoch and caption alone; the ids say which."""
    dataset, good = some_bad
    ids, names = list(dataset["caption_id"]), list(dataset["video_name"])
    collator = ClipCollator(processor, sampling="rand", seed=5, replacements=dataset)
    rows = [dataset[index] for index in range(len(dataset))]
    batch = collator(rows)
    assert batch["asked_caption_id"].tolist() == ids
    for name, asked, used in zip(names, ids, batch["caption_id"].tolist(), strict=True):
        assert (asked == used) == (name in good)
        assert names[ids.index(used)] in good
    used = batch["caption_id"].tolist()
    assert batch["video_id"].tolist() == [dataset[ids.index(caption_id)]["video_id"] for caption_id in used]
    assert len(set(used)) > len([name for name in names if name in good]) / 2
    warned = [record.getMessage() for record in caplog.records if "is replaced" in record.getMessage()]
    assert len(warned) == sum(name not in good for name in names)
    loader = DataLoader(dataset.select(range(len(dataset))[::-1]), 3, collate_fn=collator, num_workers=2)
    assert torch.equal(torch.cat([part["caption_id"] for part in loader]).flip(0), batch["caption_id"])
    collator.set_epoch(1)
    assert not torch.equal(collator(rows)["caption_id"], batch["caption_id"])


def test_unreadable_clips_are_errors_by_default(some_bad, processor):
    dataset, good = some_bad
    row = next(index for index, name in enumerate(dataset["video_name"]) if name not in good)
    with pytest.raises((FileNotFoundError, VideoDecodeError)):
        ClipCollator(processor)([dataset[row]])
    assert "asked_caption_id" not in ClipCollator(processor)([dataset[dataset["video_name"].index(min(good))]])


def test_where_none_can_be_read_there_is_an_error(dataset, processor, tmp_path):
    nowhere = dataset.cast_column("clip", VideoClip(video_dir=str(tmp_path)))
    with pytest.raises(FileNotFoundError, match=f"{dataset[0]['video_name']}.mp4 is not there"):
        ClipCollator(processor, replacements=nowhere)([nowhere[0]])
