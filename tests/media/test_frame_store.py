# SPDX-License-Identifier: Apache-2.0
import json
import os
import pickle
import struct

import av
import numpy as np
import pyarrow as pa
import pytest
import torch
import xxhash

from surglavi_hf.media import FrameStoreOptions, PastEndError, VideoDecodeError, decode_frames, frame_store
from surglavi_hf.media.frame_store import (
    FrameStore,
    is_up_to_date,
    open_frame_store,
    upgrade_frame_store,
    write_frame_store,
)

from ..conftest import SHARED, shown
from .conftest import numbers

TIMES = [index / 10 for index in range(30)]


@pytest.fixture
def video(tmp_path, write_video):
    return write_video(tmp_path / "v.mp4", TIMES)


def test_rows(tmp_path, video):
    """The frame on screen at each point of the grid, with the second it starts, and the last frame."""
    assert write_frame_store(video, tmp_path / "frames" / "v.arrow", FrameStoreOptions(fps=4)) == 13
    with pa.memory_map(str(tmp_path / "frames" / "v.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.column_names == ["timestamp", "image", "digest"]
    assert table["digest"].to_pylist() == [xxhash.xxh3_64_intdigest(image) for image in table["image"].to_pylist()]
    expected = [0.0, 0.2, 0.5, 0.7, 1.0, 1.2, 1.5, 1.7, 2.0, 2.2, 2.5, 2.7, 2.9]
    assert table["timestamp"].to_pylist() == expected
    assert all(image.startswith(b"\xff\xd8\xff") for image in table["image"].to_pylist())
    assert os.listdir(tmp_path / "frames") == ["v.arrow"]


def test_metadata(tmp_path, video):
    write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions(quality=80))
    metadata = FrameStore(tmp_path / "v.arrow").metadata
    assert metadata.pop("duration") == pytest.approx(2.9, abs=0.2)
    assert metadata == {
        **{"version": 2, "fps": 4.0, "short_side": 256, "quality": 80, "name": "v"},
        "source": {"size": video.stat().st_size, "digest": xxhash.xxh3_128_hexdigest(3 * video.read_bytes())},
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
    os.utime(video, (1, 1))  # as copies have it
    assert is_up_to_date(store, video, options) and FrameStore(store).made_from(video)
    for place in (0, video.stat().st_size // 2, -1):
        content = bytearray(video.read_bytes())
        content[place] ^= 1
        (tmp_path / "other.mp4").write_bytes(content)
        assert not is_up_to_date(store, tmp_path / "other.mp4", options)
        assert not FrameStore(store).made_from(tmp_path / "other.mp4")


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
    with pytest.raises(VideoDecodeError, match=r"v\.arrow cannot be read .*move it .*surglavi frames") as caught:
        FrameStore(store).decode(np.array([0.0]))
    assert "\n" not in str(caught.value)
    assert is_up_to_date(store, video, FrameStoreOptions()) == (kind == "no JPEG")


def test_no_flipped_bit_gives_other_frames(tmp_path, video):
    """Anywhere in the file: an error in one line that names it, or the same frames."""
    store = tmp_path / "v.arrow"
    write_frame_store(video, store, FrameStoreOptions(fps=2))
    opened, content, rng = FrameStore(store), store.read_bytes(), np.random.default_rng(0)
    times, end = opened.timestamps.copy(), opened.end
    expected = opened.decode(times)
    footer = int.from_bytes(content[-10:-6], "little") + 10
    seen = 0
    for number in range(1000):
        broken = bytearray(content)
        first, last = ((0, len(content)), (0, 2000), (len(content) - footer, len(content)))[max(0, number % 4 - 1)]
        broken[rng.integers(first, last)] ^= 1 << rng.integers(8)
        store.write_bytes(broken)
        try:
            found = FrameStore(store)
            frames = found.decode(times)
            assert torch.equal(frames, expected) and found.end == end and found.metadata == opened.metadata
            assert np.array_equal(found.timestamps, times)
        except VideoDecodeError as error:
            assert str(store) in str(error) and "\n" not in str(error)
            seen += 1
    assert seen > 600


def test_a_flipped_image_is_seen_while_the_store_is_open(tmp_path, video):
    """Frames beside it are read."""
    store = tmp_path / "v.arrow"
    write_frame_store(video, store, FrameStoreOptions(fps=2))
    opened = FrameStore(store)
    image = opened._image(2).to_pybytes()
    place = store.read_bytes().index(image) + len(image) // 2
    with store.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 4]))
    assert shown(opened.decode(opened.timestamps[[0, 1, 3]])) == [0, 5, 15]
    with pytest.raises(VideoDecodeError, match=r"v\.arrow .*its frame at 1\.000 s is not as it was written"):
        opened.decode(opened.timestamps)


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


def as_version_1(store, video):
    """Makes a frame store what the first version wrote, with the clock of its video."""
    metadata = {name: value for name, value in FrameStore(store).metadata.items() if name != "name"}
    metadata |= {"version": 1, "source": {"size": video.stat().st_size, "mtime_ns": 1}}
    schema = pa.schema({"timestamp": pa.float64(), "image": pa.binary()})
    schema = schema.with_metadata({"surglavi_frame_store": json.dumps(metadata)})
    with pa.ipc.open_file(store.read_bytes()) as reader, pa.ipc.new_file(store, schema) as writer:
        for index in range(reader.num_record_batches):
            batch, more = reader.get_batch_with_custom_metadata(index)
            columns = [batch["timestamp"], batch["image"]]
            end = {"end": more["end"]} if more and "end" in more else None
            writer.write_batch(pa.record_batch(columns, schema=schema), end)


def rows(store):
    with pa.ipc.open_file(store.read_bytes()) as reader:
        return reader.read_all().select(["timestamp", "image"]).to_pydict()


def test_an_old_store_is_read_and_upgraded_without_decoding(tmp_path, write_video):
    video, store = write_video(tmp_path / "v.mp4", [index / 10 for index in range(31)]), tmp_path / "v.arrow"
    options = FrameStoreOptions(fps=100)
    write_frame_store(video, store, options)
    new = store.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_store, "_ROWS_PER_BATCH", 8)
        write_frame_store(video, store, options)
    as_version_1(store, video)
    old = FrameStore(store)
    assert old.version == 1 and old.made_from(video) and not is_up_to_date(store, video, options)
    assert shown(old.decode(np.array([0.05, 2.95]))) == [0, 29]
    before = rows(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_store.PyAVDecoder, "read", None)
        assert upgrade_frame_store(video, store, options) == 31
    assert is_up_to_date(store, video, options) and rows(store) == before
    upgraded = FrameStore(store)
    assert upgraded.end == old.end and shown(upgraded.decode(np.array([0.05, 2.95]))) == [0, 29]
    store.write_bytes(new)
    assert rows(store) == before and upgraded.metadata == FrameStore(store).metadata


@pytest.mark.parametrize("why", ["another size", "other options", "shorter", "mirrored", "joined", "damaged", "gone"])
def test_an_old_store_that_may_be_wrong_is_not_upgraded(tmp_path, write_numbered, why):
    video, store = tmp_path / "v.mp4", tmp_path / "v.arrow"
    write_numbered(tmp_path / "w.ts" if why == "joined" else video, 0, 75 if why == "shorter" else 50)
    if why == "joined":
        video.write_bytes((tmp_path / "w.ts").read_bytes())
    if why == "mirrored":
        content = bytearray(video.read_bytes())
        place = content.index(b"tkhd") + 44
        content[place : place + 4] = struct.pack(">i", -65536)
        video.write_bytes(content)
    write_frame_store(video, store, FrameStoreOptions())
    as_version_1(store, video)
    options = FrameStoreOptions(quality=80) if why == "other options" else FrameStoreOptions()
    if why == "another size":
        video.write_bytes(video.read_bytes() + b"\0")
    if why == "shorter":
        write_numbered(tmp_path / "longer.mp4", 0, 200)
        size = (tmp_path / "longer.mp4").stat().st_size
        video.write_bytes((tmp_path / "longer.mp4").read_bytes())
        set_size(store, size)
    if why == "damaged":
        store.write_bytes(store.read_bytes()[:-20])
    if why == "gone":
        store.unlink()
    before = store.read_bytes() if store.exists() else None
    assert upgrade_frame_store(video, store, options) == 0
    assert (store.read_bytes() if store.exists() else None) == before
    if why in ("another size", "mirrored", "joined"):
        assert not FrameStore(store).made_from(video)


def set_size(store, size):
    """Has an old store say that its video has another size."""
    with pa.ipc.open_file(store.read_bytes()) as reader:
        metadata = json.loads(reader.schema.metadata[b"surglavi_frame_store"])
        metadata["source"]["size"] = size
        schema = reader.schema.with_metadata({"surglavi_frame_store": json.dumps(metadata)})
        batches = [reader.get_batch_with_custom_metadata(index) for index in range(reader.num_record_batches)]
    with pa.ipc.new_file(store, schema) as writer:
        for batch, more in batches:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema), more)


def test_a_renamed_store_is_refused_and_follows_its_video(tmp_path, video):
    write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions())
    before = rows(tmp_path / "v.arrow")
    other = (tmp_path / "v.arrow").rename(tmp_path / "w.arrow")
    with pytest.raises(VideoDecodeError, match=r"w\.arrow is that of the video 'v'; .*`surglavi frames`") as caught:
        FrameStore(other)
    assert "\n" not in str(caught.value) and not is_up_to_date(other, video, FrameStoreOptions())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_store.PyAVDecoder, "read", None)
        assert upgrade_frame_store(video, other, FrameStoreOptions()) == 13
    assert is_up_to_date(other, video, FrameStoreOptions()) and rows(other) == before
    content = bytearray(video.read_bytes())
    content[-1] ^= 1
    video.write_bytes(content)
    other.rename(tmp_path / "x.arrow")
    assert upgrade_frame_store(video, tmp_path / "x.arrow", FrameStoreOptions()) == 0


def test_names_with_dots(tmp_path, video):
    write_frame_store(video, tmp_path / "a.b.arrow", FrameStoreOptions())
    assert FrameStore(tmp_path / "a.b.arrow").metadata["name"] == "a.b"


@pytest.mark.parametrize("option", [{"fps": 0}, {"fps": float("nan")}, {"short_side": 0}, {"quality": 101}])
def test_options_out_of_range(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}=.*expected"):
        FrameStoreOptions(**option)


def test_stored_frames_are_those_of_the_source_made_smaller(tmp_path):
    """Of a drawn video, and of real ones where they are beside the checkout."""
    drawn = tmp_path / "drawn.mp4"
    with av.open(str(drawn), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=600, height=400, pix_fmt="yuv420p")
        rows, columns = np.mgrid[:400, :600]
        for index in range(60):
            picture = np.stack([rows / 2 + index, columns / 3, (rows + columns + 8 * index) % 256], axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")))
        container.mux(stream.encode())
    names = ("autolaparo_up.mp4", "group_57__VID26_694_and_VID36_975_a.mp4") if SHARED.is_dir() else ()
    for video in (drawn, *(SHARED / "data" / "videos_surgical" / name for name in names)):
        write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions())
        store = FrameStore(tmp_path / "v.arrow")
        times = store.timestamps[[1, 4, 7, -1]]
        stored = store.decode(times).float()
        source = decode_frames(video, times.tolist()).float()
        assert min(stored.shape[2:]) == 256
        smaller = torch.nn.functional.interpolate(source, stored.shape[2:], mode="bicubic", antialias=True)
        assert (stored - smaller.clamp(0, 255)).abs().mean() < 3
        assert json.dumps(store.metadata) and pickle.dumps(store.metadata)


def test_two_frames_at_one_time(tmp_path, write_numbered):
    """The first is on screen; it is stored once."""
    source, video = write_numbered(tmp_path / "w.mp4", 0, 30, options={"g": "1", "bf": "0"}), tmp_path / "v.mkv"
    with av.open(str(source)) as container, av.open(str(video), "w") as target:
        stream = target.add_stream_from_template(container.streams.video[0])
        for number, packet in enumerate(container.demux(video=0)):
            if packet.size:
                packet.stream = stream
                packet.pts = packet.dts = (number - (number == 12)) * 3600
                target.mux(packet)
    with av.open(str(video)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert times[12] == times[11] and len(times) == 30
    assert write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions(fps=100)) == 29
    store = FrameStore(tmp_path / "v.arrow")
    asked = np.array([11.5, 12.5, 13.5]) / 25
    assert numbers(store.decode(asked))[2] == 13 and len(set(store.timestamps.tolist())) == 29
    assert numbers(store.decode(asked)) == numbers(decode_frames(video, asked))


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.avi"])
def test_the_end_is_that_of_the_last_frame(tmp_path, write_numbered, name):
    codec = {"codec": "mpeg4", "options": {"b": "2000000"}} if name == "v.avi" else {}
    video = write_numbered(tmp_path / name, 0, 50, **codec)
    write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions())
    assert FrameStore(tmp_path / "v.arrow").end == pytest.approx(2.0, abs=2e-3)
    with pytest.raises(PastEndError) as caught:
        decode_frames(video, [3.5])
    assert caught.value.end == pytest.approx(2.0, abs=2e-3)


def test_the_shorter_side_is_made_smaller(tmp_path, write_numbered):
    video = write_numbered(tmp_path / "v.mp4", 0, 5)  # 128 x 64
    write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions(short_side=32))
    assert FrameStore(tmp_path / "v.arrow").decode(np.array([0.1])).shape == (1, 3, 32, 64)


@pytest.mark.parametrize(
    "timestamps, end",
    [([0.0, 0.5, 0.5], 1.0), ([0.0, 0.5, 0.2], 1.0), ([0.0, 0.5, 1.0], float("nan")), ([0.0, float("nan")], 1.0)],
)
def test_times_that_do_not_ascend(tmp_path, video, timestamps, end):
    """Though they are as they were written."""
    store = tmp_path / "v.arrow"
    write_frame_store(video, store, FrameStoreOptions())
    metadata, image = FrameStore(store).metadata, rows(store)["image"][0]
    frame_store._write_rows(store, metadata, [(timestamps, [image] * len(timestamps), end)])
    with pytest.raises(VideoDecodeError, match=r"v\.arrow cannot be read \(its timestamps do not ascend\)"):
        FrameStore(store)


def test_another_table_with_our_metadata(tmp_path, video):
    store = tmp_path / "v.arrow"
    write_frame_store(video, store, FrameStoreOptions())
    as_version_1(store, video)
    with pa.ipc.open_file(store.read_bytes()) as reader:
        table = reader.read_all()
    for schema, said in (
        (table.schema.append(pa.field("more", pa.int64())), "it is not a frame store"),
        (table.schema, "values are missing"),
    ):
        with pa.ipc.new_file(store, schema) as writer:
            columns = [table["timestamp"].combine_chunks(), pa.array([None, *table["image"].to_pylist()[1:]])]
            columns += [pa.array([0] * len(table))] if len(schema) > 2 else []
            writer.write_batch(pa.record_batch(columns, schema=schema), {"end": "2.9"})
        with pytest.raises(VideoDecodeError, match=rf"v\.arrow cannot be read \({said}\)"):
            FrameStore(store)


def test_options_in_range():
    """The ends are within it, and what is beside them is not."""
    FrameStoreOptions(fps=0.01, short_side=16, quality=1)
    FrameStoreOptions(fps=1000, short_side=4096, quality=100)
    for option in ({"fps": 0.009}, {"fps": 1000.5}, {"short_side": 15}, {"short_side": 4097}, {"quality": 0}):
        with pytest.raises(ValueError, match="expected"):
            FrameStoreOptions(**option)
