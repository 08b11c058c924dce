# SPDX-License-Identifier: Apache-2.0
import av
import pytest

from surglavi_hf.media import decode_frames
from surglavi_hf.media.remux import RemuxError, to_mp4

from ..conftest import shown
from .conftest import add_sound

TIMES = [index / 10 for index in range(30)]


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


@pytest.mark.parametrize("name, codec", [("v.avi", "mpeg4"), ("v.webm", "libvpx")])
def test_what_an_mp4_cannot_hold(tmp_path, name, codec):
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=5, width=64, height=64, pix_fmt="yuv420p")
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    with pytest.raises(RemuxError):
        to_mp4(tmp_path / name, audio=False)
    assert list(tmp_path.iterdir()) == [tmp_path / name]
