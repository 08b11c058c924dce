# SPDX-License-Identifier: Apache-2.0
import av
import numpy as np
import pytest

from surglavi_hf.media import VideoDecodeError, decode_frames
from surglavi_hf.media.probe import probe_video, to_mp4

from ..conftest import shown

TIMES = [index / 10 for index in range(30)]


def add_sound(source, target):
    """Copies a video and gives it a second of silence."""
    with av.open(str(source)) as video, av.open(str(target), "w") as container:
        picture = container.add_stream_from_template(video.streams.video[0])
        sound = container.add_stream("aac", rate=16000)
        for packet in video.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                container.mux(packet)
        for start in range(0, 16000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = 16000, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode())


@pytest.mark.parametrize("duration, fits", [(None, True), (2.9, True), (4.8, True), (0.95, True), (5.2, False)])
def test_duration(tmp_path, write_video, duration, fits):
    video = write_video(tmp_path / "v.mp4", TIMES)
    if fits:
        assert probe_video(video, duration).duration == pytest.approx(2.9, abs=0.1)
    else:
        with pytest.raises(VideoDecodeError, match=r"it lasts 2\.9 s, expected 5\.2 s within 2\.0 s"):
            probe_video(video, duration)


def test_long_videos_may_differ_by_a_hundredth(tmp_path, write_video):
    video = write_video(tmp_path / "v.mp4", [10.0 * index for index in range(31)])
    assert probe_video(video, 302.0)
    with pytest.raises(VideoDecodeError, match=r"within 3\.0 s"):
        probe_video(video, 304.0)


def test_a_file_that_ends_early_is_not_whole(tmp_path, write_video):
    """Though it says it is: its index is at its start."""
    video = to_mp4(write_video(tmp_path / "v.mkv", [index / 2 for index in range(30)]), audio=False)
    assert probe_video(video, 14.5)
    content = video.read_bytes()
    video.write_bytes(content[: int(len(content) * 0.6)])
    with pytest.raises(VideoDecodeError):
        probe_video(video, 14.5)


def test_to_mp4(tmp_path, write_video):
    plain = write_video(tmp_path / "v.mp4", TIMES)
    assert to_mp4(plain, audio=False) == plain
    mkv = to_mp4(write_video(tmp_path / "v.mkv", TIMES), audio=False)
    add_sound(plain, tmp_path / "sound.mp4")
    assert to_mp4(tmp_path / "sound.mp4", audio=True) == tmp_path / "sound.mp4"
    silent = to_mp4(tmp_path / "sound.mp4", audio=False)
    add_sound(plain, tmp_path / "sound.mkv")
    sound = to_mp4(tmp_path / "sound.mkv", audio=True)
    for path, num_streams in ((mkv, 1), (silent, 1), (sound, 2)):
        with av.open(str(path)) as container:
            assert "mp4" in container.format.name and len(container.streams) == num_streams
        assert shown(decode_frames(path, TIMES)) == list(range(30))


def test_streams_that_an_mp4_cannot_hold(tmp_path):
    with av.open(str(tmp_path / "v.avi"), "w") as container:
        stream = container.add_stream("ffv1", rate=5, width=64, height=64, pix_fmt="yuv420p")
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    try:
        path = to_mp4(tmp_path / "v.avi", audio=False)
    except VideoDecodeError as error:
        assert "cannot be put into an MP4" in str(error)
        assert list(tmp_path.iterdir()) == [tmp_path / "v.avi"]
    else:
        assert decode_frames(path, [0.0]).shape == (1, 3, 64, 64)
