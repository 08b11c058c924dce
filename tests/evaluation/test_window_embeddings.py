# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.evaluation import Windows
from surglavi_hf.evaluation.encoders import VideoEncoder
from surglavi_hf.evaluation.frame_source import FrameSource
from surglavi_hf.evaluation.window_embeddings import embed_windows


@given(length=st.integers(1, 40), num_frames=st.integers(1, 20), stride=st.integers(1, 4))
def test_windows_by_their_definition(length, num_frames, stride):
    positions = np.arange(length)
    for placement, before in (("centered", num_frames // 2), ("online", num_frames - 1)):
        found = Windows(placement, num_frames, stride).around(positions.tolist(), length, 16)
        offsets = (np.arange(num_frames) - before) * stride
        assert np.array_equal(found, np.clip(positions[:, None] + offsets, 0, length - 1))
    assert Windows(num_frames=num_frames).around([], length, 16).shape == (0, num_frames)


def test_stride_and_default():
    assert Windows(num_frames=4, stride=3).around([6], 100, 16).tolist() == [[0, 3, 6, 9]]
    assert Windows().around([0], 100, 2).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"placement": "center"}, "placement='center', expected 'centered' or 'online'"),
        ({"num_frames": 0}, "num_frames=0, expected a whole number >= 1"),
        ({"stride": -1}, "stride=-1"),
    ],
)
def test_wrong_windows(options, message):
    with pytest.raises(ValueError, match=message):
        Windows(**options)


class Numbers(FrameSource):
    """Frame n is the number n, and it is noted when it is read."""

    def __init__(self, length: int):
        self.length, self.seen = length, []

    def __len__(self):
        return self.length

    def read(self, positions):
        self.seen += positions
        return torch.tensor(positions, dtype=torch.float32)[:, None]

    def files(self):
        return []


class Stacks(VideoEncoder):
    """A window's embedding is the list of its frames."""

    num_frames, held = 16, 0

    def preprocess(self, frames):
        return frames

    def embed_windows(self, frames, windows):
        self.held = max(self.held, len(frames))
        return {"projected": frames[windows].squeeze(-1)}

    def embed_texts(self, texts):
        raise NotImplementedError


@given(st.data())
def test_every_needed_frame_is_read_once_and_shown_where_it_belongs(data):
    length = data.draw(st.integers(1, 150))
    positions = sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=1)))
    windows = Windows(
        data.draw(st.sampled_from(["centered", "online"])), data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    ).around(positions, length, 16)
    frames = Numbers(length)
    batches = list(embed_windows(Stacks(None, None), frames, windows, batch_size=data.draw(st.integers(1, 40))))
    assert np.array_equal(torch.cat([batch["projected"] for batch in batches]).numpy(), windows)
    assert frames.seen == sorted(set(windows.ravel().tolist()))


def test_frames_are_let_go():
    encoder, windows = Stacks(None, None), Windows().around(range(2_000), 2_000, 16)
    list(embed_windows(encoder, Numbers(2_000), windows, batch_size=8))
    assert encoder.held < 100
