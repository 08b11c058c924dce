# SPDX-License-Identifier: Apache-2.0
"""torchcodec refuses files of which it would give other frames. What it reads, test_decode.py compares."""

import pytest

from surglavi_hf.media import VideoDecodeError, decode, decode_frames

NOT_HERE = "torchcodec" not in decode.installed_backends()
pytestmark = pytest.mark.skipif(NOT_HERE, reason="torchcodec does not work here")


def test_mpeg_streams(tmp_path, write_video):
    video = write_video(tmp_path / "v.ts", [0.5, 0.6, 0.7])
    with pytest.raises(VideoDecodeError, match=r"v\.ts is .*(MPEG|mpegts)"):
        decode_frames(video, [0.1], "torchcodec")


def test_ten_bits(tmp_path, write_hevc):
    write_hevc(tmp_path / "v.mp4", "yuv420p10le")
    with pytest.raises(VideoDecodeError, match=r"v\.mp4: torchcodec shows 10-bit colours otherwise"):
        decode_frames(tmp_path / "v.mp4", [0.0], "torchcodec")
