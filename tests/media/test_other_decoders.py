# SPDX-License-Identifier: Apache-2.0
"""torchcodec and decord refuse files of which they would give other frames, and say why."""

import av
import numpy as np
import pytest

from surglavi_hf.media import VideoDecodeError, decode, decode_frames

TIMES = [index / 10 for index in range(30)]


@pytest.fixture(params=["torchcodec", "decord"])
def backend(request):
    if request.param not in decode.installed_backends():
        pytest.skip(f"{request.param} does not work here")
    return request.param


def test_mpeg_streams(tmp_path, write_video, backend):
    video = write_video(tmp_path / "v.ts", [0.5 + time for time in TIMES])
    with pytest.raises(VideoDecodeError, match=r"v\.ts is .*MPEG|v\.ts is h264 in mpegts"):
        decode_frames(video, [1.0], backend)


def test_hevc_by_decord(tmp_path, backend):
    if backend != "decord":
        pytest.skip("only decord misses frames")
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx265", rate=5, width=64, height=64, pix_fmt="yuv420p")
        stream.options = {"x265-params": "log-level=none"}
        for index in range(5):
            picture = np.full((64, 64, 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    with pytest.raises(VideoDecodeError, match=r"v\.mp4 is hevc in mov"):
        decode_frames(tmp_path / "v.mp4", [0.0], backend)


def test_closed_files_are_let_go(tmp_path, write_video, backend):
    """Closing twice, or deleting the file, harms nothing."""
    video = write_video(tmp_path / "v.mp4", TIMES)
    decode_frames(video, [1.0], backend)
    decode._CACHE.clear()
    decode._CACHE.clear()
    video.unlink()
    with pytest.raises(FileNotFoundError):
        decode_frames(video, [1.0], backend)
