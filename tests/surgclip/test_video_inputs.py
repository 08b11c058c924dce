# SPDX-License-Identifier: Apache-2.0
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from surglavi_hf.surgclip.video_inputs import middle_indices, read_frames, split_clips

CLIP = torch.randint(0, 256, (5, 3, 6, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LAST = CLIP.permute(0, 2, 3, 1).contiguous()
IMAGES = [Image.fromarray(frame.numpy()) for frame in LAST]


class Video:
    """A clip whose frames come as `given`."""

    def __init__(self, given=CLIP):
        self.given = given

    def frames(self, num_frames):
        return self.given[:num_frames]


def turned(image: Image.Image) -> Image.Image:
    """As a phone stores a picture that was taken upright."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    image.save(file, "JPEG", exif=exif)
    return Image.open(file, formats=["JPEG"])


def forms() -> dict:
    """One clip in all the forms that are accepted."""
    return {
        "tensor": CLIP,
        "channels last": LAST,
        "array": CLIP.numpy(),
        "array, channels last": LAST.numpy(),
        "reversed channels, as of OpenCV": LAST.numpy()[..., ::-1].copy()[..., ::-1],
        "floats": CLIP / 255,
        "double array": LAST.numpy() / 255,
        "PIL images": IMAGES,
        "grey and palette images are made RGB": [IMAGES[0].convert("RGBA"), *IMAGES[1:]],
        "list of tensors": list(CLIP),
        "tuple of arrays": tuple(LAST.numpy()),
        "object": Video(),
        "object with images": Video(IMAGES),
    }


@pytest.mark.parametrize("form", forms())
def test_forms(form):
    frames = read_frames(forms()[form], 5, sample=True)
    assert frames.shape == CLIP.shape and frames.dtype in (torch.uint8, torch.float32)
    levels = frames if frames.dtype == torch.uint8 else (frames * 255).round().byte()
    assert torch.equal(levels, CLIP)


@pytest.mark.parametrize("form", forms())
def test_a_clip_and_a_batch_are_told_apart(form):
    clip = forms()[form]
    assert len(split_clips(clip)) == 1 and len(split_clips([clip, clip, clip])) == 3
    assert len(split_clips(torch.stack([CLIP, CLIP]))) == len(split_clips(np.stack([CLIP, CLIP]))) == 2


def test_a_read_only_array_is_read_without_a_warning(recwarn):
    array = CLIP.numpy().copy()
    array.flags.writeable = False
    assert torch.equal(read_frames(array, 5, sample=False), CLIP) and not recwarn.list


def test_sampling():
    assert middle_indices(16, 16) == list(range(16))
    assert middle_indices(8, 2) == [2, 6]
    assert middle_indices(2, 4) == [0, 0, 1, 1]
    long = CLIP.repeat(4, 1, 1, 1)
    for clip in (long, list(long), [IMAGES[index % 5] for index in range(20)]):
        assert torch.equal(read_frames(clip, 4, sample=True), long[[2, 7, 12, 17]])
    assert len(read_frames(long, 4, sample=False)) == 20


@given(st.integers(1, 200), st.integers(1, 64))
def test_sampling_is_the_middle_of_equal_segments(length, num_frames):
    indices = middle_indices(length, num_frames)
    assert len(indices) == num_frames and indices == sorted(indices) and indices[0] >= 0 and indices[-1] < length
    assert indices == [int((index + 0.5) * length / num_frames + 1e-9) for index in range(num_frames)]


def test_channels_that_may_be_first_or_last():
    square = torch.zeros(2, 3, 9, 3, dtype=torch.uint8)
    with pytest.raises(
        ValueError, match=r"\(2, 3, 9, 3\) may have its channels first or last; pass input_data_format"
    ):
        read_frames(square, 2, sample=True)
    assert read_frames(square, 2, True, "channels_first").shape == (2, 3, 9, 3)
    assert read_frames(square, 2, True, "channels_last").shape == (2, 3, 3, 9)
    with pytest.raises(ValueError, match="input_data_format='sideways'"):
        read_frames(square, 2, True, "sideways")


@pytest.mark.parametrize(
    "video, message",
    [
        ("a caption", r"'a caption'; pass captions as text="),
        (5, "video is 5, expected a clip"),
        (None, "video is None, expected a clip"),
        (CLIP[0], r"torch.uint8 of shape \(3, 6, 8\), expected a clip"),
        (IMAGES[0], "video is a Image, expected a clip"),
        ([CLIP, CLIP], "video is a list, expected a clip"),
        (CLIP[:0], "video has no frames"),
        (CLIP[:, :2], r"shape \(5, 2, 6, 8\), expected shape \(num_frames, 3"),
        (CLIP[:, :, :, :0], r"shape \(5, 3, 6, 0\), expected shape"),
        (CLIP.int(), "torch.int32 .* expected uint8, or floating point from 0 to 1"),
        (CLIP.float(), r"values from 0 to 25\d, expected 0 to 1; pass uint8"),
        (CLIP / 255 - 0.5, "values from -0.5 to 0.5, expected 0 to 1"),
        (CLIP / 255 * float("nan"), "values from nan to nan"),
        ([Image.fromarray(np.zeros((4, 4), np.uint16))], "image of PIL's mode I;16, expected RGB or grey of 8 bits"),
        ([IMAGES[0].convert("CMYK")], "image of PIL's mode CMYK, expected RGB or grey of 8 bits"),
        ([turned(IMAGES[0])], r"stored turned; pass PIL's ImageOps.exif_transpose\(image\)"),
        ([CLIP[0], CLIP[1, :, :4]], r"frames of shapes \(3, 4, 8\) and \(3, 6, 8\), expected one"),
    ],
)
def test_what_is_no_clip(video, message):
    with pytest.raises(ValueError, match=message):
        read_frames(video, 5, sample=True)


def test_an_object_with_frames_is_one_clip_even_if_it_is_a_tuple():
    class Row(NamedTuple):
        video_id: int = 123

        def frames(self, num_frames):
            return CLIP[:num_frames]

    assert split_clips(Row()) == [Row()] and split_clips((Row(), Row())) == [Row(), Row()]


def test_columns_are_batches():
    class Column(Sequence):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return [CLIP, Video()][index]

    assert len(split_clips(Column())) == 2


def test_what_another_library_rounded():
    frames = read_frames(CLIP / 255 * 1.0001 - 1e-5, 5, sample=True)
    assert frames.min() >= 0 and frames.max() <= 1


def test_an_object_that_gives_another_number_of_frames():
    with pytest.raises(ValueError, match="a Video gave 5 frames, asked for 7"):
        read_frames(Video(), 7, sample=True)


def test_no_clips():
    with pytest.raises(ValueError, match="videos is an empty list"):
        split_clips([])
