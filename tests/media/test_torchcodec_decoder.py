# SPDX-License-Identifier: Apache-2.0
"""torchcodec refuses files of which it would give other frames. What it reads, test_decode.py compares."""

import av
import numpy as np
import pytest

from surglavi_hf.media import VideoDecodeError, decode, decode_frames

NOT_HERE = "torchcodec" not in decode.installed_backends()
pytestmark = pytest.mark.skipif(NOT_HERE, reason="torchcodec does not work here")


def write_hevc(path, pix_fmt):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=5, width=64, height=64, pix_fmt=pix_fmt)
        stream.options = {"x265-params": "log-level=none"}
        for index in range(5):
            picture = np.full((64, 64, 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_mpeg_streams(tmp_path, write_video):
    video = write_video(tmp_path / "v.ts", [0.5, 0.6, 0.7])
    with pytest.raises(VideoDecodeError, match=r"v\.ts is .*(MPEG|mpegts)"):
        decode_frames(video, [0.1], "torchcodec")


def test_ten_bits(tmp_path):
    write_hevc(tmp_path / "v.mp4", "yuv420p10le")
    with pytest.raises(VideoDecodeError, match=r"v\.mp4: torchcodec shows 10-bit colours otherwise"):
        decode_frames(tmp_path / "v.mp4", [0.0], "torchcodec")
