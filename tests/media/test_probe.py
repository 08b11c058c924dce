# SPDX-License-Identifier: Apache-2.0
import av
import pytest

from surglavi_hf.media import VideoDecodeError
from surglavi_hf.media.probe import probe_video
from surglavi_hf.media.remux import to_mp4

TIMES = [index / 10 for index in range(30)]


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


@pytest.mark.parametrize("name, share", [("v.mp4", 0.5), ("v.mp4", 0.97), ("v.mkv", 0.5), ("v.mkv", 0.8)])
def test_a_file_that_is_cut_short_is_not_whole(tmp_path, write_video, name, share):
    """Though its header, at its start, says so: of an MP4 a frame is enough, of others what is over two seconds."""
    video = to_mp4(write_video(tmp_path / "v.mkv", [5.0 * index for index in range(30)]), audio=False)
    video = video if name == "v.mp4" else tmp_path / "v.mkv"
    assert probe_video(video, 145.0)
    content = video.read_bytes()
    video.write_bytes(content[: int(len(content) * share)])
    for duration in (145.0, None):
        with pytest.raises(VideoDecodeError, match="cut short"):
            probe_video(video, duration)


def test_damage_where_it_is_looked_at(tmp_path, write_video):
    video = write_video(tmp_path / "v.mp4", TIMES)
    with av.open(str(video)) as container:
        last = [(packet.pts, packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    _, position, size = max(last)
    with video.open("r+b") as file:
        file.seek(position + 4)
        file.write(b"\xff" * (size - 4))
    with pytest.raises(VideoDecodeError, match="damaged"):
        probe_video(video, None)
