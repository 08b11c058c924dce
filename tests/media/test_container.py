# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from surglavi_hf.media.container import read_header


def test_header(tmp_path, write_video):
    header = read_header(str(write_video(tmp_path / "v.mkv", [2.0, 2.1, 2.2])))
    assert (header.container, header.codec, header.bits) == ("matroska,webm", "h264", 8)
    assert (header.start, header.picture_start) == (2, 0)
    assert header.duration == pytest.approx(2.3, abs=0.2)


def test_clock_rounds_down_to_ticks(tmp_path, write_video):
    header = read_header(str(write_video(tmp_path / "v.mkv", [2.0, 2.1, 2.2])))  # ticks of 1 ms
    for tick in range(500):
        time = tick / 1000
        assert header.clock(time) == (2000 + tick) / 1000
        assert header.clock(math.nextafter(time, math.inf)) == (2000 + tick) / 1000
        if tick:
            assert header.clock(math.nextafter(time, 0)) == (1999 + tick) / 1000
            assert header.clock(time - 0.0001) == (1999 + tick) / 1000
