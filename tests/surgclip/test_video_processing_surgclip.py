# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
import torch
from PIL import Image

from surglavi_hf import SurgCLIPVideoProcessor
from surglavi_hf.media import decode_frames


@pytest.fixture
def processor():
    return SurgCLIPVideoProcessor(size={"height": 48, "width": 40}, num_frames=5)


def smooth_frames(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    small = rng.integers(0, 256, (count, 9, 12, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), Image.BICUBIC)) for frame in small])


@pytest.mark.parametrize("size", [(96, 96), (480, 854), (30, 20)])
def test_resize_agrees_with_pil(processor, size):
    frames = smooth_frames(np.random.default_rng(0), 3, *size)
    pixel_values = processor(frames, num_frames=3)["pixel_values"][0]
    pil = np.stack([np.asarray(Image.fromarray(frame).resize((40, 48), Image.BICUBIC)) for frame in frames])
    levels = (pixel_values * 0.5 + 0.5) * 255
    assert np.abs(levels.permute(0, 2, 3, 1).numpy() - pil).max() <= 2


def test_values(processor):
    clip = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 48, 40)
    pixel_values = processor([clip, clip.numpy()], num_frames=2)["pixel_values"]
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
    for size in (48, {"height": 48}, {"height": 48, "width": 0}, {"height": 48, "width": 40.0}):
        with pytest.raises(ValueError, match=r"size=.*, expected"):
            SurgCLIPVideoProcessor(size=size)


@pytest.mark.parametrize("num_frames", [0, 2.5, "4", True])
def test_wrong_numbers_of_frames(processor, num_frames):
    with pytest.raises(ValueError, match=r"num_frames=.*, expected a whole number >= 1"):
        processor(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), num_frames=num_frames)
    with pytest.raises(ValueError, match="num_frames="):
        SurgCLIPVideoProcessor(num_frames=num_frames)


@pytest.mark.parametrize("statistics", [{"image_mean": 0.5}, {"image_mean": [0.5]}, {"image_std": [0.5, 0.5, 0]}])
def test_wrong_statistics(statistics):
    with pytest.raises(ValueError, match="expected three numbers"):
        SurgCLIPVideoProcessor(**statistics)


def test_unequal_lengths_are_sampled(processor):
    clips = [torch.zeros(count, 3, 8, 8, dtype=torch.uint8) for count in (2, 5, 30)]
    assert processor(clips)["pixel_values"].shape == (3, 5, 3, 48, 40)
    assert processor(clips, num_frames=np.int64(2))["pixel_values"].shape == (3, 2, 3, 48, 40)
    assert processor(clips[2], do_sample_frames=False)["pixel_values"].shape == (1, 30, 3, 48, 40)
    with pytest.raises(ValueError, match=r"clips of \[2, 5, 30\] frames in one batch"):
        processor(clips, do_sample_frames=False)


def test_a_clip_alone_and_in_a_batch_is_the_same(processor):
    clips = [torch.randint(0, 256, (count, 3, 60, 50), dtype=torch.uint8) for count in (2, 9)]
    batch = processor(clips)["pixel_values"]
    assert all(torch.equal(processor(clip)["pixel_values"][0], row) for clip, row in zip(clips, batch, strict=True))


def test_floats_and_bytes_agree(processor):
    frames = torch.from_numpy(smooth_frames(np.random.default_rng(1), 5, 96, 120)).permute(0, 3, 1, 2)
    one, two = processor(frames)["pixel_values"], processor(frames / 255)["pixel_values"]
    assert (one - two).abs().max() <= 2 * 2 / 255, "bytes are rounded twice, to levels of 2/255"
    checkers = torch.zeros(5, 3, 96, 80)
    checkers[..., ::12] = 1
    assert processor(checkers)["pixel_values"].abs().max() <= 1, "what bicubic overshoots is cut off"


def test_resize_agrees_with_pil_on_real_frames(shared):
    path = shared / "data" / "videos_surgical" / "autolaparo_up.mp4"
    frames = decode_frames(path, [0.0, 0.5, 1.0])
    images = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
    pil = np.stack([np.asarray(image.resize((224, 224), Image.BICUBIC)) for image in images]).astype(np.int16)
    levels = (SurgCLIPVideoProcessor(num_frames=3)(frames)["pixel_values"][0] * 0.5 + 0.5) * 255
    assert np.abs(levels.permute(0, 2, 3, 1).numpy() - pil).max() <= 2


def test_numpy(processor):
    assert isinstance(processor(torch.zeros(5, 3, 8, 8), return_tensors="np")["pixel_values"], np.ndarray)


def test_round_trip(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "video_preprocessor_config.json").read_text())
    assert saved["image_mean"] == [0.5] * 3 and saved["do_sample_frames"] is True, "defaults are written down"
    loaded = SurgCLIPVideoProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict() and loaded.size == {"height": 48, "width": 40}
