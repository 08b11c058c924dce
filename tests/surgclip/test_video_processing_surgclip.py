# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from PIL import Image

from surglavi_hf import SurgCLIPVideoProcessor


@pytest.fixture
def processor():
    return SurgCLIPVideoProcessor(size={"height": 48, "width": 40}, num_frames=5)


def smooth_frames(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    small = rng.integers(0, 256, (count, 9, 12, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), Image.BICUBIC)) for frame in small])


@pytest.mark.parametrize("size", [(96, 96), (480, 854), (30, 20)])
def test_resize_agrees_with_pil(processor, size):
    frames = smooth_frames(np.random.default_rng(0), 3, *size)
    pixel_values = processor(torch.from_numpy(frames).permute(0, 3, 1, 2))["pixel_values"][0]
    pil = np.stack([np.asarray(Image.fromarray(frame).resize((40, 48), Image.BICUBIC)) for frame in frames])
    levels = (pixel_values * 0.5 + 0.5) * 255
    assert np.abs(levels.permute(0, 2, 3, 1).numpy() - pil).max() <= 2


def test_values(processor):
    clip = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 48, 40)
    pixel_values = processor([clip, clip.numpy()])["pixel_values"]
    assert pixel_values.shape == (2, 2, 3, 48, 40) and pixel_values.dtype == torch.float32
    torch.testing.assert_close(pixel_values[:, 0], torch.full((2, 3, 48, 40), -1.0))
    torch.testing.assert_close(pixel_values[:, 1], torch.full((2, 3, 48, 40), 1.0))


def test_objects_with_frames(processor):
    class Video:
        def frames(self, num_frames):
            return torch.zeros(num_frames, 3, 10, 10, dtype=torch.uint8)

    assert processor(Video())["pixel_values"].shape == (1, 5, 3, 48, 40)


def test_sizes(processor):
    processor.size["height"] = 7
    assert SurgCLIPVideoProcessor().size == {"height": 224, "width": 224}, "shared with the class"
    with pytest.raises(ValueError, match=r"size=48, expected"):
        SurgCLIPVideoProcessor(size=48)


def test_captions_in_the_place_of_videos(processor):
    with pytest.raises(ValueError, match=r"'a caption'; pass captions as text="):
        processor(["a caption"])


@pytest.mark.parametrize("video", [torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8, 3, dtype=torch.uint8), 5])
def test_what_is_no_video(processor, video):
    with pytest.raises(ValueError, match="expected uint8 of shape"):
        processor(video)


def test_unequal_lengths(processor):
    with pytest.raises(ValueError, match=r"clips of \[2, 3\] frames"):
        processor([torch.zeros(count, 3, 8, 8, dtype=torch.uint8) for count in (2, 3)])


def test_round_trip(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = SurgCLIPVideoProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict() and loaded.size == {"height": 48, "width": 40}
