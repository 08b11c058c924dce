# SPDX-License-Identifier: Apache-2.0
import gc
import os
import struct
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from PIL import Image

from surglavi_hf.media import FrameStoreOptions, VideoDecodeError, decode_frames
from surglavi_hf.media.frame_arrays import Orientation, orientation, resized, to_rgb
from surglavi_hf.media.frame_store import FrameStore, write_frame_store
from surglavi_hf.media.pyav_decoder import PyAVDecoder
from surglavi_hf.media.remux import to_mp4

from .conftest import add_sound

# Four colours, so that no two of the eight ways look alike; wider than high.
STORED = np.zeros((64, 96, 3), np.uint8)
STORED[:32, :48], STORED[:32, 48:], STORED[32:, :48], STORED[32:, 48:] = (
    (250, 20, 20),
    (20, 250, 20),
    (20, 20, 250),
    (240, 240, 240),
)
# The numbers a, b, c, d of the display matrix, which shows a point (x, y) at (a x + c y, b x + d y), and the picture.
SHOWN = {
    (1, 0, 0, 1): STORED,
    (-1, 0, 0, 1): STORED[:, ::-1],
    (1, 0, 0, -1): STORED[::-1],
    (-1, 0, 0, -1): STORED[::-1, ::-1],
    (0, 1, -1, 0): np.rot90(STORED, 3),
    (0, -1, 1, 0): np.rot90(STORED),
    (0, 1, 1, 0): STORED.transpose(1, 0, 2),
    (0, -1, -1, 0): np.rot90(STORED.transpose(1, 0, 2), 2),
}
MIRRORED = [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)]


@pytest.fixture
def write_turned(tmp_path):
    """Writes five times `STORED` in an MP4 with a display matrix."""

    def write(matrix, name="v.mp4"):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=5, width=96, height=64, pix_fmt="yuv444p")
            stream.options = {"crf": "1"}
            for _ in range(5):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(STORED, format="rgb24")))
            container.mux(stream.encode())
        a, b, c, d = (round(65536 * number) for number in matrix)
        content = bytearray(path.read_bytes())
        place = content.index(b"tkhd") + 44
        assert struct.unpack_from(">9i", content, place) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
        struct.pack_into(">9i", content, place, a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(content)
        return path

    return write


def near(frame, picture):
    image = frame.permute(1, 2, 0).numpy()
    return image.shape == picture.shape and np.abs(image.astype(int) - picture).mean() < 8


@pytest.mark.parametrize("matrix", SHOWN)
def test_all_eight_ways(tmp_path, write_turned, backend, matrix):
    """Shown as the matrix says, or refused; `auto` and PyAV refuse none."""
    video = write_turned(matrix)
    if (backend == "decord" and matrix != (1, 0, 0, 1)) or (backend == "torchcodec" and matrix in MIRRORED):
        with pytest.raises(VideoDecodeError, match=r"v\.mp4 is (shown|mirrored)"):
            decode_frames(video, [0.5], backend)
        return
    for frame in decode_frames(video, [0.1, 0.5, 1.1], backend):
        assert near(frame, SHOWN[matrix])


@pytest.mark.parametrize("matrix", SHOWN)
def test_frame_stores_and_other_files(tmp_path, write_turned, matrix):
    """Whose pictures are made smaller before they are turned, and which are written anew."""
    video = write_turned(matrix)
    for short_side, step in ((64, 1), (32, 2)):
        write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions(short_side=short_side))
        assert near(FrameStore(tmp_path / "v.arrow").decode(np.array([0.5]))[0], SHOWN[matrix][::step, ::step])
    for name in ("sound.mp4", "sound.mkv"):
        add_sound(video, tmp_path / name)
        assert near(decode_frames(tmp_path / name, [0.5])[0], SHOWN[matrix])
        again = to_mp4(tmp_path / name, audio=False)
        assert again.name != name and near(decode_frames(again, [0.5])[0], SHOWN[matrix])


@pytest.mark.parametrize("flip, matrix", [("horizontal", (-1, 0, 0, 1)), ("vertical", (1, 0, 0, -1))])
def test_what_the_stream_says(tmp_path, write_turned, backend, flip, matrix):
    """H.264 has messages of its own for it; FFmpeg takes each for its own frame alone, and this one comes first."""
    source = write_turned((1, 0, 0, 1))
    video = tmp_path / "sei.mp4"
    with av.open(str(source)) as container, av.open(str(video), "w") as target:
        stream = container.streams.video[0]
        copy = target.add_stream_from_template(stream)
        mark = BitStreamFilterContext(f"h264_metadata=display_orientation=insert:flip={flip}", stream)
        for packet in container.demux(stream):
            for marked in mark.filter(packet if packet.size else None):
                marked.stream = copy
                target.mux(marked)
    try:
        frames = decode_frames(video, [0.0], backend)
    except VideoDecodeError as error:
        assert backend in ("decord", "torchcodec") and "mirrored" in str(error)
    else:
        assert backend in ("auto", "pyav") and near(frames[0], SHOWN[matrix])


@pytest.mark.parametrize("degrees", [-89, 2, 91, 178])
def test_other_angles_are_the_nearest(write_turned, degrees):
    angle = np.deg2rad(degrees)
    video = write_turned((np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)))
    assert near(decode_frames(video, [0.5])[0], np.rot90(STORED, -round(degrees / 90) % 4))


def test_mirrored(write_turned):
    for matrix in SHOWN:
        with av.open(str(write_turned(matrix))) as container:
            assert orientation(next(container.decode(video=0))).is_mirrored == (matrix in MIRRORED)
    assert not Orientation(False, False, False).is_mirrored


def test_an_orientation_that_cannot_be_told(tmp_path):
    """PyAV names no data of a frame where it does not know one, such as EXIF."""
    exif, content = Image.Exif(), BytesIO()
    exif[0x0112] = 2
    Image.fromarray(STORED).save(content, "JPEG", exif=exif)
    with av.open(str(tmp_path / "v.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=5, width=96, height=64, pix_fmt="yuvj420p")
        for index in range(3):
            packet = av.Packet(content.getvalue())
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, index, index, True
            packet.time_base = Fraction(1, 5)
            container.mux(packet)
    try:
        frame = decode_frames(tmp_path / "v.avi", [0.3])[0]
    except VideoDecodeError as error:
        assert "v.avi" in str(error) and "cannot tell how its frames are turned" in str(error)
    else:
        assert near(frame, STORED[:, ::-1])  # a PyAV that knows EXIF


def test_real_mirrored_video(shared):
    """The stored picture mirrored left to right."""
    video = shared / "cases" / "media" / "hflip.mp4"
    with av.open(str(video)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert near(decode_frames(video, [0.0])[0], stored[:, ::-1]) and not near(decode_frames(video, [0.0])[0], stored)


def test_resized():
    image = STORED[:2, :3]
    assert resized(image, image.shape) is image
    assert resized(np.full((8, 8, 3), 99, np.uint8), (4, 6, 3)).shape == (4, 6, 3)
    assert resized(STORED[:, ::-1], (32, 48, 3)).shape == (32, 48, 3)


def living_frames():
    return {id(each) for each in gc.get_objects() if isinstance(each, av.VideoFrame)}


def test_no_frame_outlives_its_picture(write_turned):
    path = write_turned((1, 0, 0, 1))
    gc.collect()
    gc.disable()
    try:
        frames = living_frames()  # of other tests
        decoder = PyAVDecoder(str(path))
        decoder.decode(np.arange(5) / 5)
        decoder.close()
        del decoder
        assert living_frames() <= frames
    finally:
        gc.enable()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are seen on Linux only")
def test_no_thread_belongs_to_a_frame(write_turned):
    """Freed in a forked process it would wait for threads that this one does not have."""
    with av.open(str(write_turned((1, 0, 0, 1)))) as container:
        frame = next(container.decode(video=0))
        threads = set(os.listdir("/proc/self/task"))
        to_rgb(frame, 480, 320)
        assert set(os.listdir("/proc/self/task")) <= threads
