# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.data import ClipCollator, RandomCropAndFlip


def frames(height: int = 48, width: int = 64, count: int = 3) -> torch.Tensor:
    """Each pixel tells where it is: row, column, and frame."""
    rows = torch.arange(height, dtype=torch.uint8)[:, None].expand(height, width)
    columns = torch.arange(width, dtype=torch.uint8)[None].expand(height, width)
    return torch.stack([torch.stack([rows, columns, torch.full_like(rows, number)]) for number in range(count)])


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(seed=st.integers(0, 10_000), height=st.integers(8, 100), width=st.integers(8, 100), area=st.floats(0.05, 1))
def test_one_box_for_all_frames_within_its_ranges(seed, height, width, area):
    source = frames(height, width)
    found = RandomCropAndFlip(min_area=area)(source, generator(seed))
    new_height, new_width = found.shape[-2:]
    top, left = found[0, 0, 0, 0].item(), found[0, 1, 0, 0].item()
    assert torch.equal(found, source[..., top : top + new_height, left : left + new_width])
    if area == 1:
        assert found.shape == source.shape
    elif 0.75 <= width / height <= 1.33:  # else the box may be the one in the middle
        rounding = (height + width) / 2 + 1
        assert new_height * new_width >= area * height * width - rounding
    assert 0.5 < new_width / new_height < 2 or min(new_height, new_width) < 8 or area == 1


def test_boxes_and_mirror_images_vary():
    augment = RandomCropAndFlip(min_area=0.5, flip=0.5)
    shapes = {augment(frames(), generator(seed)).shape for seed in range(50)}
    assert len(shapes) > 30
    flipped = [
        found[0, 1, 0, 0] > found[0, 1, 0, -1] for found in (augment(frames(), generator(s)) for s in range(200))
    ]
    assert 70 < sum(flipped) < 130
    only = RandomCropAndFlip(min_area=1.0, flip=1.0)(frames(), generator(0))
    assert torch.equal(only, frames().flip(-1))


def test_a_strip_keeps_its_middle():
    found = RandomCropAndFlip(min_area=0.9)(frames(10, 100), generator(0))
    assert found.shape[-2:] == (10, 13) and found[0, 1, 0, 0] == 43


class Processor:
    def __init__(self):
        self.video_processor = type("Video", (), {"num_frames": 2})()

    def __call__(self, videos, text, **kwargs):
        return {"pixel_values": [video.clone() for video in videos]}


@pytest.mark.parametrize("epoch", [0, 1])
def test_the_collators_crops_depend_on_seed_epoch_and_caption_alone(epoch):
    class Clip:
        def frames(self, num_frames, sampling, generator):
            return frames(count=num_frames)

    rows = [
        {
            "caption_id": number,
            "video_id": 1,
            "level": 0,
            "start_time": 0.1,
            "end_time": 1.0,
            "caption": "",
            "clip": Clip(),
        }
        for number in range(4)
    ]
    collator = ClipCollator(Processor(), seed=3, augment=RandomCropAndFlip(0.3, 0.5))
    collator.set_epoch(epoch)
    together = collator(rows)["pixel_values"]
    alone = [collator([row])["pixel_values"][0] for row in reversed(rows)]
    assert all(torch.equal(one, other) for one, other in zip(together, reversed(alone), strict=True))
    collator.set_epoch(epoch + 1)
    assert any(one.shape != other.shape for one, other in zip(together, collator(rows)["pixel_values"], strict=True))
    assert collator(rows)["start_time"].dtype == torch.float64
