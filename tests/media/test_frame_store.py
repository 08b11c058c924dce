# SPDX-License-Identifier: Apache-2.0
import json
import os
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch

from surglavi_hf.media import FrameStoreOptions, PastEndError, VideoDecodeError, decode_frames
from surglavi_hf.media.frame_store import FrameStore, is_up_to_date, open_frame_store, write_frame_store

from ..conftest import shown

TIMES = [index / 10 for index in range(30)]


@pytest.fixture
def video(tmp_path, write_video):
    return write_video(tmp_path / "v.mp4", TIMES)


def test_rows(tmp_path, video):
    """The frame on screen at each point of the grid, with the second it starts, and the last frame."""
    assert write_frame_store(video, tmp_path / "frames" / "v.arrow", FrameStoreOptions(fps=4)) == 13
    with pa.memory_map(str(tmp_path / "frames" / "v.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.column_names == ["timestamp", "image"]
    expected = [0.0, 0.2, 0.5, 0.7, 1.0, 1.2, 1.5, 1.7, 2.0, 2.2, 2.5, 2.7, 2.9]
    assert table["timestamp"].to_pylist() == expected
    assert all(image.startswith(b"\xff\xd8\xff") for image in table["image"].to_pylist())
    assert os.listdir(tmp_path / "frames") == ["v.arrow"]


def test_metadata(tmp_path, video):
    write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions(quality=80))
    metadata = FrameStore(tmp_path / "v.arrow").metadata
    assert metadata.pop("duration") == pytest.approx(2.9, abs=0.2)
    status = video.stat()
    assert metadata == {
        **{"version": 1, "fps": 4.0, "short_side": 256, "quality": 80},
        "source": {"size": status.st_size, "mtime_ns": status.st_mtime_ns},
    }


@pytest.mark.parametrize("fps", [1000, 10, 4, 0.7])
def test_always_the_last_stored_frame_at_or_before(tmp_path, video, fps):
    """With as many as the video has, the same frames as from the video."""
    write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions(fps=fps))
    store = FrameStore(tmp_path / "v.arrow")
    stored = [round(10 * time) for time in store.timestamps]
    rng = np.random.default_rng(0)
    asked = np.concatenate([rng.uniform(0, 3, 50), store.timestamps, np.nextafter(store.timestamps[1:], 0)])
    expected = [max(frame for frame in stored if TIMES[frame] <= time) for time in asked]
    assert shown(store.decode(asked)) == expected
    if fps >= 10:
        assert stored == list(range(30)) and shown(decode_frames(video, asked)) == expected


def test_irregular_videos_without_repeats(tmp_path, write_video):
    times = [0.0, 0.04, 0.08, 0.5, 0.52, 1.0, 5.0, 5.1, 5.2]
    video = write_video(tmp_path / "v.mp4", times)
    write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions(fps=4))
    store = FrameStore(tmp_path / "v.arrow")
    assert store.timestamps.tolist() == [0.0, 0.08, 0.5, 0.52, 1.0, 5.0, 5.2]


def test_size(tmp_path, write_video):
    video = write_video(tmp_path / "v.mp4", TIMES[:3])
    for short_side, size in ((32, 32), (64, 64), (256, 64)):
        write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions(short_side=short_side))
        assert FrameStore(tmp_path / "v.arrow").decode(np.array([0.0, 0.1])).shape == (2, 3, size, size)


def test_past_the_end_is_as_in_the_video(tmp_path, video):
    write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions())
    store = FrameStore(tmp_path / "v.arrow")
    assert shown(store.decode(np.array([3.85]))) == shown(decode_frames(video, [3.85])) == [29]
    for read in (lambda: store.decode(np.array([0.0, 5.0])), lambda: decode_frames(video, [0.0, 5.0])):
        with pytest.raises(PastEndError) as caught:
            read()
        assert caught.value.end == pytest.approx(2.9, abs=0.15)


def test_up_to_date(tmp_path, video):
    store, options = tmp_path / "v.arrow", FrameStoreOptions()
    assert not is_up_to_date(store, video, options)
    write_frame_store(video, store, options)
    assert is_up_to_date(store, video, options) and FrameStore(store).made_from(video)
    for changed in (FrameStoreOptions(fps=5), FrameStoreOptions(short_side=128), FrameStoreOptions(quality=91)):
        assert not is_up_to_date(store, video, changed)
    os.utime(video, ns=(0, video.stat().st_mtime_ns + 1))
    assert not is_up_to_date(store, video, options) and not FrameStore(store).made_from(video)


def test_nothing_is_left_of_a_video_that_fails(tmp_path, write_video):
    store = tmp_path / "frames" / "v.arrow"
    (tmp_path / "broken.mp4").write_bytes(b"broken")
    with pytest.raises(VideoDecodeError, match=r"broken\.mp4"):
        write_frame_store(tmp_path / "broken.mp4", store, FrameStoreOptions())

    def stop(num_frames):
        raise KeyboardInterrupt

    video = write_video(tmp_path / "v.mp4", TIMES)
    with pytest.raises(KeyboardInterrupt):
        write_frame_store(video, store, FrameStoreOptions(), stop)
    assert list(store.parent.iterdir()) == []


def test_a_damaged_video_is_stored_without_the_damage(tmp_path, video):
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 60] = bytes(60)
    video.write_bytes(content)
    num_frames = write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions(fps=10))
    store = FrameStore(tmp_path / "v.arrow")
    assert 15 <= num_frames <= 30 and (np.diff(store.timestamps) > 0).all()
    assert shown(store.decode(np.array([0.05]))) == [0]


def damaged(kind, content):
    if kind == "cut short":
        return content[: len(content) // 2]
    if kind == "empty":
        return b""
    if kind == "another table":
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, pa.schema({"x": pa.int64()})) as writer:
            writer.write_table(pa.table({"x": [1]}))
        return sink.getvalue().to_pybytes()
    if kind == "without rows":
        sink = pa.BufferOutputStream()
        with pa.ipc.open_file(content) as reader, pa.ipc.new_file(sink, reader.schema):
            pass
        return sink.getvalue().to_pybytes()
    return content.replace(b"\xff\xd8\xff", b"\0\0\0")


@pytest.mark.parametrize("kind", ["cut short", "empty", "another table", "without rows", "no JPEG"])
def test_damaged_stores(tmp_path, video, kind):
    store = tmp_path / "v.arrow"
    write_frame_store(video, store, FrameStoreOptions())
    store.write_bytes(damaged(kind, store.read_bytes()))
    with pytest.raises(VideoDecodeError, match=r"frame store .*v\.arrow cannot be read .*surglavi frames") as caught:
        FrameStore(store).decode(np.array([0.0]))
    assert "\n" not in str(caught.value)
    assert is_up_to_date(store, video, FrameStoreOptions()) == (kind == "no JPEG")


def test_damage_never_ends_the_process(tmp_path, video):
    """Whatever bytes are wrong: an error that names the file, or frames."""
    store = tmp_path / "v.arrow"
    write_frame_store(video, store, FrameStoreOptions())
    content, rng = store.read_bytes(), np.random.default_rng(0)
    footer = int.from_bytes(content[-10:-6], "little") + 10
    for number in range(300):
        broken = bytearray(content)
        first, last = ((0, 1500), (len(content) - footer, len(content)), (0, len(content)))[number % 3]
        for place in rng.integers(first, last, 1 + number % 4):
            broken[place] ^= 1 << rng.integers(8)
        store.write_bytes(broken)
        try:
            assert FrameStore(store).decode(np.array([0.0, 2.0])).dtype == torch.uint8
        except VideoDecodeError as error:
            assert "v.arrow" in str(error)


def test_stores_stay_open_while_they_are_the_same(tmp_path, video):
    store = tmp_path / "v.arrow"
    write_frame_store(video, store, FrameStoreOptions())
    first = open_frame_store(store)
    assert open_frame_store(store) is first
    write_frame_store(video, store, FrameStoreOptions(fps=1))
    assert open_frame_store(store) is not first
    assert len(open_frame_store(store).timestamps) == 4


@pytest.mark.parametrize("option", [{"fps": 0}, {"fps": float("nan")}, {"short_side": 0}, {"quality": 101}])
def test_options_out_of_range(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}=.*expected"):
        FrameStoreOptions(**option)


def test_real_videos(shared, tmp_path):
    """A stored frame is the source's frame of its timestamp, smaller."""
    for name in ("autolaparo_up.mp4", "group_57__VID26_694_and_VID36_975_a.mp4"):
        video = shared / "data" / "videos_surgical" / name
        write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions())
        store = FrameStore(tmp_path / "v.arrow")
        times = store.timestamps[[1, 7, 20, -1]]
        stored = store.decode(times).float()
        source = decode_frames(video, times.tolist()).float()
        assert min(stored.shape[2:]) == 256
        smaller = torch.nn.functional.interpolate(source, stored.shape[2:], mode="bicubic", antialias=True)
        assert (stored - smaller.clamp(0, 255)).abs().mean() < 3
        assert json.dumps(store.metadata) and pickle.dumps(store.metadata)
