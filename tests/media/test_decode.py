# SPDX-License-Identifier: Apache-2.0
import importlib.util
import pickle

import av
import numpy as np
import pytest
import torch

from surglavi_hf.media import PastEndError, VideoDecodeError, decode, decode_frames

from ..conftest import shown

BACKENDS = ["decord", "PyAV"]
# Irregular, with a gap longer than what decoding on bridges without a seek.
TIMES = [0.0, 0.04, 0.08, 0.5, 0.52, 1.0, 2.0, 2.2, 2.25, 2.3, 12.0, 12.1, 12.2, 12.3, 20.0]


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    """Leaves only one decoder."""
    if request.param == "decord":
        pytest.importorskip("decord")

        def refuse(path, times):
            raise AssertionError("decord should have read this")

        monkeypatch.setattr(decode, "_decode_pyav", refuse)
    else:
        monkeypatch.setattr(decode, "find_spec", lambda name: None)
    return request.param


def test_last_frame_at_or_before_each_timestamp(tmp_path, write_video, backend):
    video = write_video(tmp_path / "v.mp4", TIMES)
    asked = [0.0, 0.039, 0.04, 1.999, 2.0, 11.9, 12.0, 12.25, 19.9, 20.0, 20.5]
    frames = decode_frames(video, asked)
    assert frames.dtype == torch.uint8 and frames.shape == (len(asked), 3, 64, 64)
    assert shown(frames) == [0, 0, 1, 5, 6, 9, 10, 12, 13, 14, 14]


def test_any_order_and_repeats(tmp_path, write_video, backend):
    video = write_video(tmp_path / "v.mp4", TIMES)
    rng = np.random.default_rng(0)
    asked = rng.choice([*TIMES, *rng.uniform(0, 20, 20)], 60)
    expected = [max(index for index, start in enumerate(TIMES) if start <= time) for time in asked]
    assert shown(decode_frames(video, asked)) == expected


def test_past_the_end(tmp_path, write_video, backend):
    video = write_video(tmp_path / "v.mp4", [0.0, 0.1, 0.2])
    assert shown(decode_frames(video, [1.1])) == [2]
    with pytest.raises(PastEndError, match=r"v\.mp4 ends at 0\.\d+ s, .* 7\.000 s") as caught:
        decode_frames(video, [0.0, 7.0])
    with pytest.raises(PastEndError):
        decode_frames(video, [1e300])
    assert "\n" not in str(caught.value) and 0.2 <= caught.value.end <= 0.5
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.end) == (str(caught.value), caught.value.end)


@pytest.mark.parametrize("timestamps", [[], [-0.1], [float("nan")], [float("inf")], [[0.0]]])
def test_timestamps_that_are_none(tmp_path, write_video, timestamps):
    video = write_video(tmp_path / "v.mp4", [0.0])
    with pytest.raises(ValueError, match="timestamps"):
        decode_frames(video, timestamps)


def test_missing_video(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        decode_frames(tmp_path / "gone.mp4", [0.0])


@pytest.mark.parametrize("content", [b"", b"not a video at all", b"\0\0\0\x18ftypmp42" + b"\0" * 250])
def test_broken_video(tmp_path, content):
    (tmp_path / "broken.mp4").write_bytes(content)
    with pytest.raises(VideoDecodeError, match=r"broken\.mp4") as caught:
        decode_frames(tmp_path / "broken.mp4", [0.0])
    assert "\n" not in str(caught.value)


def test_pyav_reads_what_decord_cannot(tmp_path, write_video, monkeypatch):
    video = write_video(tmp_path / "v.mp4", [0.0, 0.1])

    def fail(path, times):
        raise RuntimeError("no")

    monkeypatch.setattr(decode, "_decode_decord", fail)
    assert shown(decode_frames(video, [0.15])) == [1]


def test_decord_is_installed_where_it_has_a_wheel():
    import platform

    assert (importlib.util.find_spec("decord") is not None) == (platform.machine() in ("x86_64", "AMD64"))


def test_real_videos_equal_sequential_decoding(shared, backend):
    """Every frame is the one on screen at its timestamp in PyAV's decode from the start."""
    rng = np.random.default_rng(0)
    videos = sorted((shared / "data" / "videos_surgical").glob("*.mp4"))
    broken = [video for video in videos if video.stat().st_size < 1000]
    assert len(videos) == 7 and len(broken) == 1
    for video in sorted(set(videos) - set(broken)):
        with av.open(str(video)) as container:
            starts = [frame.time for frame in container.decode(video=0)]
        asked = [*rng.uniform(0, starts[-1], 12), *rng.choice(starts, 4)]
        expected = [max(index for index, start in enumerate(starts) if start <= time) for time in asked]
        wanted = {}
        with av.open(str(video)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index in expected:
                    wanted[index] = frame.to_ndarray(format="rgb24")
        for frame, index in zip(decode_frames(video, asked), expected, strict=True):
            difference = np.abs(frame.permute(1, 2, 0).numpy().astype(int) - wanted[index].astype(int)).mean()
            assert difference < 1, f"{video.name} frame {index}"


def test_real_broken_video(shared):
    video = shared / "data" / "videos_surgical" / "group_7__VID12_721_and_VID13_18_b.mp4"
    with pytest.raises(VideoDecodeError, match=video.name):
        decode_frames(video, [0.0])
