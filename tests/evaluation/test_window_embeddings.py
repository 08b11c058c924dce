# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.evaluation import VideoEncoder, Windows
from surglavi_hf.evaluation.frame_source import FrameSource
from surglavi_hf.evaluation.window_embeddings import WindowStream, embed_windows, preprocessing_key, read_frames


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


class Named(Stacks):
    """As other models of its name, which preprocess alike."""

    preprocessed = 0

    def __init__(self, name: str):
        super().__init__(None, None)
        self.name = name

    def preprocess(self, frames):
        type(self).preprocessed += len(frames)
        return frames

    def frame_protocol(self):
        return {"frame_preprocessing": self.name}


@given(st.data())
def test_several_models_see_what_each_sees_alone_and_frames_are_read_once(data):
    length = data.draw(st.integers(1, 150))
    names = data.draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=4))
    positions = sorted(data.draw(st.sets(st.integers(0, length - 1), min_size=1)))
    every = [
        Windows(num_frames=data.draw(st.integers(1, 9)), stride=data.draw(st.integers(1, 3))).around(
            positions, length, 16
        )
        for _ in names
    ]
    frames, Named.preprocessed = Numbers(length), 0
    streams = [WindowStream(Named(name), windows, 7) for name, windows in zip(names, every, strict=True)]
    found = [[] for _ in streams]
    count = 0
    for read, inputs in read_frames(frames, streams):
        count += read
        for place, stream in enumerate(streams):
            found[place] += [embeds["projected"] for embeds in stream.push(inputs[place])]
    for batches, windows in zip(found, every, strict=True):
        assert np.array_equal(torch.cat(batches).numpy(), windows)
    assert frames.seen == sorted({place for windows in every for place in windows.ravel().tolist()})
    assert count == len(frames.seen)
    needed = {name: set() for name in names}
    for name, windows in zip(names, every, strict=True):
        needed[name] |= set(windows.ravel().tolist())
    assert Named.preprocessed == sum(map(len, needed.values()))


def test_models_of_the_callers_own_share_no_preprocessing():
    one, other = Stacks(None, None), Stacks(None, None)
    assert preprocessing_key(one) != preprocessing_key(other)
    assert preprocessing_key(Named("a")) == preprocessing_key(Named("a")) != preprocessing_key(Named("b"))
