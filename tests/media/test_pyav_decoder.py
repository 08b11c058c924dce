# SPDX-License-Identifier: Apache-2.0
import av
import numpy as np
import pytest

from surglavi_hf.media import PastEndError, VideoDecodeError, decode_frames
from surglavi_hf.media.errors import DamagedVideoError
from surglavi_hf.media.pyav_decoder import PyAVDecoder, _any_within

from ..conftest import shown
from .conftest import numbers

NUM_FRAMES = 30
TIMES = [index / 10 for index in range(NUM_FRAMES)]


def packets(video):
    """The frame number, place and size of each packet, in the order of the file."""
    with av.open(str(video)) as container:
        return [
            (round(packet.pts * packet.time_base * 10), packet.pos, packet.size)
            for packet in container.demux(video=0)
            if packet.pts is not None
        ]


def spoil(video, frame):
    """Overwrites a frame with what no decoder takes for one."""
    ((_, position, size),) = [packet for packet in packets(video) if packet[0] == frame]
    with video.open("r+b") as file:
        file.seek(position + 4)  # the length stays, the type of unit does not
        file.write(bytes([0xFF]) * (size - 4))


def test_every_frame_in_every_order(tmp_path, write_video):
    """Seeks, skips and reordering give the frame on screen, on key frames and beside them."""
    decoder = PyAVDecoder(str(write_video(tmp_path / "v.mp4", TIMES)))
    rng = np.random.default_rng(0)
    for count in (1, 1, 2, 3, 5, 8, 13, 30) * 8:
        frames = rng.integers(0, NUM_FRAMES, count)
        offset = rng.choice([0.0, 0.05, 0.0999])
        assert shown(decoder.decode(frames / 10 + offset)) == frames.tolist()


def test_what_is_not_asked_for_is_not_decoded(tmp_path, write_video):
    decoder = PyAVDecoder(str(write_video(tmp_path / "v.mp4", TIMES)))
    asked = list(decoder.read(lambda start, end: start == 1.0))
    assert [(start, end) for start, end, _ in asked] == [(1.0, 1.1)]
    decoder = PyAVDecoder(str(tmp_path / "v.mp4"))
    assert [(start, end) for start, end, _ in decoder.read()] == list(zip(TIMES, [*TIMES[1:], None], strict=True))


@pytest.mark.parametrize("frame", [NUM_FRAMES - 1, 13])
def test_a_frame_that_cannot_be_decoded(tmp_path, write_video, caplog, frame):
    """The one before it, with a warning."""
    video = write_video(tmp_path / "v.mp4", TIMES)
    spoil(video, frame)
    with pytest.raises(DamagedVideoError, match=r"v\.mp4 is damaged"):
        PyAVDecoder(str(video)).decode(np.array([frame / 10]))
    assert shown(decode_frames(video, [frame / 10 + 0.05])) == [frame - 1]
    assert [record.getMessage() for record in caplog.records] == [
        f"video {video}: its frame at {frame / 10 + 0.05:.3f} s cannot be decoded; taking the one before it"
    ]
    assert shown(decode_frames(video, [2.45])) == [24]


def test_a_first_frame_that_cannot_be_decoded(tmp_path, write_video):
    """There is none before it; later ones are read."""
    video = write_video(tmp_path / "v.mp4", TIMES)
    spoil(video, 0)
    with pytest.raises(VideoDecodeError, match=r"v\.mp4 has no frame that can be decoded up to 0\.050 s"):
        decode_frames(video, [0.05], "pyav")
    assert shown(decode_frames(video, [2.45], "pyav")) == [24]


def test_a_long_damage_is_an_error(tmp_path, write_video):
    """And the frames before and after it are not."""
    video = write_video(tmp_path / "v.mp4", TIMES)
    for frame in range(8, 24):
        spoil(video, frame)
    assert shown(decode_frames(video, [0.0, 0.75, 1.2])) == [0, 7, 7]
    assert shown(decode_frames(video, [2.5])) == [25]
    with pytest.raises(VideoDecodeError, match=r"v\.mp4 is damaged from 0\.8\d* s on, but its frame at 2\.200 s"):
        decode_frames(video, [2.2])


def test_a_file_cut_short_ends_early(tmp_path, write_video):
    """Where its index is at the front, or it needs none."""
    whole = write_video(tmp_path / "whole.mkv", TIMES)
    position = next(position for frame, position, _ in packets(whole) if frame == 20)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[:position])
    assert shown(decode_frames(cut, [0.0, 1.75])) == [0, 17]
    with pytest.raises(PastEndError, match=r"cut\.mkv ends at [12]\.\d+ s") as caught:
        decode_frames(cut, [1.0, 9.0])
    assert 1.5 < caught.value.end <= 2.1


def test_streams_that_change_their_size(tmp_path, write_video):
    """All frames come in the size of the first."""
    parts = [
        write_video(tmp_path / f"{size}.ts", [start + time for time in TIMES[:5]], size).read_bytes()
        for start, size in ((0.2, 64), (0.7, 32))
    ]
    video = tmp_path / "v.ts"  # of which the parts can be put together like this
    video.write_bytes(b"".join(parts))
    with av.open(str(video)) as container:
        assert {frame.width for frame in container.decode(video=0)} == {64, 32}
    frames = decode_frames(video, [0.0, 0.3, 0.6, 0.8])
    assert frames.shape == (4, 3, 64, 64) and shown(frames) == [0, 3, 1, 3]


@pytest.mark.parametrize("codec, options", [("libx264", {"bf": "3"}), ("mpeg4", {"bf": "2"})])
def test_avi_says_only_when_frames_are_decoded(tmp_path, codec, options):
    with av.open(str(tmp_path / "v.avi"), "w") as container:
        stream = container.add_stream(codec, rate=10, width=64, height=64, pix_fmt="yuv420p")
        stream.options = options | {"g": "12", "qscale": "2"}
        for index in range(30):
            picture = np.full((64, 64, 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    frames = shown(decode_frames(tmp_path / "v.avi", [index / 10 + 0.05 for index in range(28)]))
    assert frames == sorted(frames) and len(set(frames)) >= 20  # mpeg4 is coarse
    assert shown(decode_frames(tmp_path / "v.avi", [2.05, 0.55, 2.05])) == [frames[20], frames[5], frames[20]]


def test_no_video_stream(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoDecodeError, match=r"sound\.mp4 has no video stream"):
        decode_frames(tmp_path / "sound.mp4", [0.0])


FORMATS = {
    "v.mp4": ("libx264", {"g": "12", "bf": "2"}),
    "v.mkv": ("libx264", {"g": "12", "bf": "2"}),
    "v.ts": ("libx264", {"g": "12", "bf": "2"}),
}


@pytest.fixture(params=FORMATS)
def counted(request, tmp_path, write_numbered, monkeypatch):
    """A decoder of 200 frames in groups of 12, and the packets it has read since the last look."""
    read = PyAVDecoder._read_packet
    count = 0

    def count_and_read(self):
        nonlocal count
        count += 1
        read(self)

    def packets_read():
        nonlocal count
        found, count = count, 0
        return found

    monkeypatch.setattr(PyAVDecoder, "_read_packet", count_and_read)
    video = write_numbered(tmp_path / request.param, 0, 200, *FORMATS[request.param])
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        start = float(stream.start_time * stream.time_base) - container.start_time / av.time_base
    decoder = PyAVDecoder(str(video))

    def ask(*frames):
        images = decoder.decode(np.array([(frame + 0.5) / 25 + max(start, 0.0) for frame in frames]))
        assert numbers(images) == list(frames)
        return packets_read()

    return ask


def test_little_is_read_of_what_is_not_asked_for(counted):
    """From the key frame before: a group of pictures, what is reordered, and no more."""
    assert counted(0) <= 8
    for frame in (199, 60, 61, 71, 72, 73, 130, 5, 197):
        assert counted(frame) <= 48, frame
    assert counted(0, 190) <= 60
    assert counted(20, 100, 180) <= 144


def test_frames_of_one_group_are_read_in_one_go(counted):
    counted(0)
    assert counted(*range(60, 72)) <= 52
    assert 200 <= counted(*range(200)) <= 206  # once


def test_avi_by_its_packets(tmp_path, write_numbered):
    """Which are all it has, also where damage is borne with."""
    video = write_numbered(tmp_path / "v.avi", 0, 30, "mpeg4", {"g": "12", "bf": "0", "b": "2000000"})
    spans = [(round(25 * start), end and round(25 * end)) for start, end, _ in PyAVDecoder(str(video)).read()]
    assert spans == list(zip(range(30), [*range(1, 30), None], strict=True))
    asked = list(PyAVDecoder(str(video)).read(lambda start, end: start == 0.4))
    assert [(round(25 * start), round(25 * end)) for start, end, _ in asked] == [(10, 11)]
    careful = PyAVDecoder(str(video), careful=True)
    assert numbers(careful.decode(np.array([0.42, 1.02]))) == [10, 25]


def test_a_frame_that_only_begins_at_an_asked_time_is_not_before_it():
    assert _any_within([1.0, 3.0], 0.9, 1.1) and _any_within([1.0], 1.0, 1.1) and _any_within([1.0], 0.9, None)
    assert not _any_within([1.0], 0.9, 1.0) and not _any_within([1.0], 1.1, None) and not _any_within([], 0.0, None)
