# SPDX-License-Identifier: Apache-2.0
"""Recordings joined byte by byte, whose clock starts again: every frame at its place, in any order of asking."""

import av
import numpy as np
import pytest

from surglavi_hf.media import FrameStoreOptions, PastEndError, VideoDecodeError, decode, decode_frames, timetable
from surglavi_hf.media.frame_store import FrameStore, write_frame_store
from surglavi_hf.media.probe import probe_video
from surglavi_hf.media.remux import to_mp4
from surglavi_hf.media.timetable import read_timetable

from .conftest import numbers

WRAP_S = 2**33 / 90000  # when the clock of an MPEG stream starts again by itself
MPEG2 = {"codec": "mpeg2video"}
NO_B = {"options": {"g": "12", "bf": "0"}}
# Of each file the suffix and the parts: how many frames, from which second of the clock on, and how they are written.
JOINED = {
    "twice the same clock": (".ts", [(40, 0, {}), (40, 0, {})]),
    "three": (".ts", [(30, 0, {}), (30, 0, {}), (30, 0, {})]),
    "an hour ahead": (".ts", [(40, 0, {}), (40, 3600, {})]),
    "an hour back": (".ts", [(40, 3600, {}), (40, 0, {})]),
    "a single frame": (".ts", [(1, 0, {}), (40, 0, {})]),
    "near the start": (".ts", [(3, 0, {}), (60, 0, {})]),
    "near the end": (".ts", [(60, 0, {}), (2, 0, {})]),
    "later than the last key frame": (".ts", [(60, 0, {"options": {"g": "250"}}), (40, 1, {})]),
    "no B-frames after some": (".ts", [(40, 0, {}), (40, 0, NO_B)]),
    "B-frames after none": (".ts", [(40, 0, NO_B), (40, 0, {})]),
    "over the end of the clock": (".ts", [(80, WRAP_S - 1, {})]),
    "from an hour on": (".ts", [(80, 3600, {})]),
    "with sound": (".ts", [(40, 0, {"sound": True}), (40, 0, {"sound": True})]),
    "with sound ahead": (".ts", [(40, 0, {"sound": True}), (40, 500, {"sound": True})]),
    "with sound, twelve seconds ahead": (".ts", [(40, 0, {"sound": True}), (40, 13.6, {"sound": True})]),
    "MPEG-2": (".ts", [(40, 0, MPEG2), (40, 0, MPEG2)]),
    "program stream": (".mpg", [(40, 0, MPEG2), (40, 0, MPEG2), (40, 0, MPEG2)]),
    "program stream of MPEG-1": (".mpg", [(90, 0, {"codec": "mpeg1video"}), (40, 0, {"codec": "mpeg1video"})]),
    "program stream of one": (".mpg", [(120, 0, MPEG2)]),
    "DVD": (".vob", [(40, 0, MPEG2), (40, 0, MPEG2)]),
    "DVD with sound": (".vob", [(40, 0, MPEG2 | {"sound": True}), (40, 0, MPEG2 | {"sound": True})]),
}


@pytest.fixture(params=JOINED)
def joined(request, tmp_path, write_numbered):
    """A file and the number of its frames."""
    suffix, parts = JOINED[request.param]
    return join(tmp_path, write_numbered, suffix, parts)


def join(folder, write, suffix, parts):
    content, first = b"", 0
    for count, start, how in parts:
        content += write(folder / f"part{suffix}", first, count, start=start, **how).read_bytes()
        first += count
    path = folder / f"v{suffix}"
    path.write_bytes(content)
    return path, first


def middles(frames, start=0.0):
    return [(frame + 0.5) / 25 + start for frame in frames]


def begin(path):
    """When the picture starts, in seconds from the start of the file: sound may start before."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return max(0.0, float(stream.start_time * stream.time_base) - container.start_time / av.time_base)


def test_every_frame_in_any_order(joined):
    path, count = joined
    rng = np.random.default_rng(0)
    start = begin(path)
    for number in (*rng.integers(0, count, 25), count - 1):
        decode._CACHE.clear()
        assert numbers(decode_frames(path, middles([number], start))) == [number]
    decode._CACHE.clear()
    for asked in (range(count), rng.permutation(count)[:20], rng.permutation(count)[:5], reversed(range(count))):
        assert numbers(decode_frames(path, middles(asked := list(asked), start))) == asked
    with pytest.raises(PastEndError) as caught:
        decode_frames(path, [99.0])
    assert caught.value.end == pytest.approx(count / 25 + start, abs=0.05)


def test_frame_store_and_probe_and_remux(joined, tmp_path):
    path, count = joined
    start = begin(path)
    assert write_frame_store(path, tmp_path / "v.arrow", FrameStoreOptions(fps=25)) == count
    assert numbers(FrameStore(tmp_path / "v.arrow").decode(np.array(middles(range(count), start)))) == list(
        range(count)
    )
    assert probe_video(path, count / 25).duration == pytest.approx(count / 25, abs=0.15)
    mp4 = to_mp4(path, audio=True)
    assert numbers(decode_frames(mp4, middles(range(count), begin(mp4)))) == list(range(count))


def test_where_recordings_start(tmp_path, write_numbered):
    path, _ = join(tmp_path, write_numbered, ".ts", [(30, 7, {}), (30, 2, {}), (30, 100, {})])
    table = read_timetable(str(path))
    assert table.breaks == pytest.approx([1.2, 2.4], abs=1e-4)
    assert len(table.sizes) == 90 and table.shown.all()
    assert (table.dts <= table.pts).all() and (np.diff(table.dts) > 0).all()
    assert table.starts().tolist() == [table.pts[0] + 3600 * number for number in range(90)]


def test_frames_cut_off_from_what_they_need_are_not_shown(tmp_path, write_numbered):
    """A recording that starts with an open group of pictures, without the frames before it."""
    open_ends = {"options": {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0:b-adapt=0"}}
    whole = write_numbered(tmp_path / "w.ts", 100, 48, **open_ends).read_bytes()
    with av.open(str(tmp_path / "w.ts")) as container:
        packets = [(packet.pos, packet.pts) for packet in container.demux(video=0) if packet.is_keyframe]
        first, key_pts = packets[1]
    with av.open(str(tmp_path / "w.ts")) as container:
        leading = sum(packet.pts < key_pts for packet in container.demux(video=0) if packet.pos and packet.pos > first)
    assert leading
    before = write_numbered(tmp_path / "b.ts", 0, 40).read_bytes()
    (tmp_path / "v.ts").write_bytes(before + whole[first:])
    table = read_timetable(str(tmp_path / "v.ts"))
    assert (~table.shown).sum() == leading
    shown = numbers(decode_frames(tmp_path / "v.ts", middles(range(50))))
    assert shown[:40] == list(range(40)) and shown[40:] == list(range(shown[40], shown[40] + 10)) and shown[40] > 100


def test_a_gap_is_no_restart(tmp_path, write_numbered):
    """Where sound goes on through it, however long; and up to ten seconds in any case."""
    times = [0.0, 0.04, 0.08, 9.0, 9.04, 18.9, 19.0]
    video = write_numbered(tmp_path / "v.ts", 0, len(times), times=times, options={"bf": "0"})
    assert read_timetable(str(video)).breaks == ()
    assert numbers(decode_frames(video, [8.9, 18.8, 18.95, 0.05])) == [2, 4, 5, 1]
    with av.open(str(tmp_path / "s.ts"), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=64, pix_fmt="yuv420p")
        stream.options = {"bf": "0"}
        audio = container.add_stream("mp2", rate=48000)
        packets = []
        for second in (0, 1, 40, 41):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts = 25 * second
            packets += stream.encode(frame)
        packets += stream.encode()
        for index in range(41 * 48000 // 1152):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2304), np.int16), format="s16", layout="stereo")
            frame.rate, frame.pts = 48000, index * 1152
            packets += audio.encode(frame)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    table = read_timetable(str(tmp_path / "s.ts"))
    assert table.breaks == () and np.diff(table.starts()).tolist() == [90000, 39 * 90000, 90000]


def test_a_gap_is_no_restart_where_clocks_do_not_leap(tmp_path, write_numbered):
    """However long: only MPEG transport streams have clocks that do."""
    times = [0.0, 0.04, 0.08, 30.0, 30.04, 30.08]
    video = write_numbered(tmp_path / "v.flv", 0, len(times), times=times, options={"bf": "0"})
    assert read_timetable(str(video)).breaks == ()
    assert numbers(decode_frames(video, [29.9, 30.02, 30.06])) == [2, 3, 4]


def restamp(path, where, ticks):
    """Adds `ticks` to the times of the packets of a transport stream that `where` says, by their number."""
    content = bytearray(path.read_bytes())
    number = -1
    for packet in range(0, len(content), 188):
        if not content[packet + 1] & 0x40:
            continue
        payload = packet + 4 + (content[packet + 4] + 1 if content[packet + 3] & 0x20 else 0)
        if content[payload : payload + 4] != b"\0\0\1\xe0":
            continue
        number += 1
        for at in (payload + 9, payload + 14) if where(number) else ():
            old = content[at : at + 5]
            if at == payload + 14 and not content[payload + 7] & 0x40:
                continue
            time = ((old[0] >> 1 & 7) << 30 | old[1] << 22 | (old[2] >> 1) << 15 | old[3] << 7 | old[4] >> 1) + ticks
            content[at : at + 5] = (
                (old[0] & 0xF0) | (time >> 30 & 7) << 1 | 1,
                time >> 22 & 255,
                (time >> 15 & 127) << 1 | 1,
                time >> 7 & 255,
                (time & 127) << 1 | 1,
            )
    path.write_bytes(content)


@pytest.mark.parametrize("ticks", [-45000, 90000 * 3600, -90000 * 100])
@pytest.mark.parametrize("count", [1, 3])
def test_stray_times_are_refused(tmp_path, write_numbered, ticks, count):
    video = write_numbered(tmp_path / "v.ts", 0, 100, start=200, **NO_B)
    restamp(video, lambda number: 50 <= number < 50 + count, ticks)
    with pytest.raises(
        VideoDecodeError, match=r"v\.ts: its clock leaps to .* s for .* frames? after \d\.\d\d s"
    ) as caught:
        decode_frames(video, [1.0])
    assert "\n" not in str(caught.value)
    with pytest.raises(VideoDecodeError, match="its clock leaps"):
        write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions())
    for check in (lambda: probe_video(video, None), lambda: to_mp4(video, False)):
        with pytest.raises(VideoDecodeError, match="its clock leaps"):
            check()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.ts"]


def test_recordings_joined_within_another_format_are_refused(tmp_path, write_numbered):
    """Matroska and fragments of MP4 have one clock, and an index that says what it shows."""
    for suffix in (".mkv", ".mp4"):
        parts = []
        for first in (0, 60):
            path = tmp_path / f"part{suffix}"
            write_numbered(path, first, 60)
            if suffix == ".mp4":
                path = fragmented(path)
            parts.append(path.read_bytes())
        video = tmp_path / f"v{suffix}"
        video.write_bytes(b"".join(parts))
        for asked in ([0.5, 2.5], [4.0], [2.3, 2.5], [3.0]):
            decode._CACHE.clear()
            with pytest.raises(VideoDecodeError, match=r"its clock goes back.*cut it there|ends at 2\.4"):
                decode_frames(video, asked)
        with pytest.raises(VideoDecodeError, match="its clock goes back"):
            write_frame_store(video, tmp_path / "v.arrow", FrameStoreOptions())
        with pytest.raises(VideoDecodeError, match="its clock goes back"):
            probe_video(video, None)


def fragmented(path):
    target = path.with_name("fragmented.mp4")
    with (
        av.open(str(path)) as source,
        av.open(str(target), "w", options={"movflags": "frag_keyframe+empty_moov"}) as to,
    ):
        stream = to.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                to.mux(packet)
    return target


def test_frames_without_times_are_refused(tmp_path, write_numbered):
    for name in ("v.h264", "v.mpg"):
        video = write_numbered(tmp_path / name, 0, 60)
        with pytest.raises(VideoDecodeError, match=rf"{name} gives \d+ of 60 frames no time; convert it with ffmpeg"):
            decode_frames(video, [1.0])


def test_mixed_times_without_a_rate_are_refused(tmp_path, write_numbered):
    """The demuxer mixes up the times of these frames; that there are as many as the rate says makes them known."""
    times = [index / 25 + (4.0 if index >= 45 else 0.0) for index in range(90)]
    video = write_numbered(tmp_path / "v.mpg", 0, 90, times=times, **MPEG2)
    with pytest.raises(VideoDecodeError, match=r"v\.mpg gives several frames one time"):
        decode_frames(video, [1.0])


def test_the_table_is_kept_while_the_file_is_the_same(tmp_path, write_numbered):
    video = write_numbered(tmp_path / "v.ts", 0, 30)
    table = read_timetable(str(video))
    assert read_timetable(str(video)) is table
    write_numbered(video, 0, 40)
    assert len(read_timetable(str(video)).sizes) == 40


@pytest.mark.parametrize("name", ["concat.ts", "concat.mpg"])
def test_real_joined_recordings(shared, name):
    video = shared / "cases" / "media" / name
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        asked = rng.uniform(0, 19.999, size)
        blocks = decode_frames(video, asked)[:, :, 10:38].float().mean(dim=(1, 2)).reshape(size, 10, 16)[:, :, 4:12]
        found = [sum(1 << bit for bit in range(10) if row[bit] > 128) for row in blocks.mean(dim=2).tolist()]
        assert found == [int(25 * time) for time in asked]


@pytest.mark.parametrize(
    "kinds, ranks",
    [
        ([1, 2, 3, 3, 2, 3, 3], [0, 3, 1, 2, 6, 4, 5]),
        ([1, 2, 2], [0, 1, 2]),
        ([1, 3, 3, 2], [2, 0, 1, 3]),
        ([1], [0]),
    ],
)
def test_the_order_in_which_mpeg_pictures_are_shown(kinds, ranks):
    """A picture that others are predicted from comes after the B-pictures that follow it in the file."""
    assert timetable._display_ranks(kinds).tolist() == ranks


def test_kinds_of_mpeg_pictures():
    for kind in (1, 2, 3):
        assert timetable._picture_kind(b"\0\0\1\xb3abc\0\0\1\0\0" + bytes([kind << 3 | 7]) + b"\xff") == kind
        assert timetable._picture_kind(b"\0\0\1\0\0" + bytes([0x80 | kind << 3])) == kind
    assert timetable._picture_kind(b"\0\0\1\0\0") == timetable._picture_kind(b"no picture at all") == 0


def unit(kind, bits):
    """Returns a unit of H.264 whose slice header begins with `bits`."""
    bits = bits.ljust(24, "1")
    return bytes([kind]) + int(bits, 2).to_bytes(3, "big") + b"more"


# "1" is 0, "010" 1, "011" 2, "00110" 5, "00111" 6, "0001000" 7, "0001001" 8, "0001010" 9; first where it begins.
@pytest.mark.parametrize("kind, is_intra", [("011", True), ("0001000", True), ("00101", True), ("0001010", True)])
@pytest.mark.parametrize("begin", ["1", "010"])
def test_types_of_slices_that_are_intra(kind, is_intra, begin):
    for before in (b"", unit(9, ""), unit(6, "1") + unit(7, "1") + unit(8, "010")):
        slices = [before, unit(0x65, begin + kind)] if before else [unit(0x65, begin + kind)]
        annex = b"".join(b"\0\0\1" + part for part in slices)
        assert timetable.is_intra(annex, None) is timetable.is_intra(b"\0" + annex, b"\0\0\0\1") is is_intra


@pytest.mark.parametrize("kind", ["1", "010", "00110", "00111"])
@pytest.mark.parametrize("first", [0x61, 0x41, 0x65, 2])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_types_of_slices_that_are_predicted(kind, first, size):
    """After start codes and after lengths of any size."""
    parts = [unit(9, ""), unit(6, "011"), unit(first, "1" + kind)]
    assert not timetable.is_intra(b"".join(b"\0\0\1" + part for part in parts), None)
    content = b"".join(len(part).to_bytes(size, "big") + part for part in parts)
    assert not timetable.is_intra(content, b"\1\x64\0\x1f" + bytes([0xFC | size - 1]))


def test_packets_without_slices_are_intra():
    """As far as can be known."""
    assert timetable.is_intra(b"", None) and timetable.is_intra(b"no start code", None)
    assert timetable.is_intra(b"\0\0\1" + unit(9, ""), None)
    assert timetable.is_intra(b"\0\0\0\4" + unit(9, "")[:4], b"\1\x64\0\x1f\xff")


def test_decoding_times():
    """Ascending, none after its frame is shown, as late as can be."""
    for pts, dts in (
        ([0, 40, 80], [0, 40, 80]),
        ([0, 120, 40, 80, 160], [-40, 0, 40, 80, 120]),
        ([0, 160, 80, 40, 120], [-80, -40, 0, 40, 80]),
        ([7], [7]),
        ([], []),
    ):
        assert timetable._decoding_times(np.array(pts, np.int64)).tolist() == dts


def test_entries(tmp_path, write_numbered):
    """The last key frame at or before a time."""
    table = read_timetable(str(write_numbered(tmp_path / "v.ts", 0, 50)))
    keys = table.pts[table.entries]
    assert len(keys) == 5 and table.entry(keys[0] - 1) == -1
    for number, key in enumerate(keys):
        assert table.entry(key) == number and table.entry(key - 1) == number - 1 and table.entry(key + 1) == number
    assert table.times(3) == (table.pts[3], table.dts[3])


@pytest.mark.parametrize(
    "x264, leading, refreshed",
    [
        ("bframes=3", False, False),
        ("bframes=0", False, False),
        ("open-gop=1:bframes=3", True, False),
        ("intra-refresh=1:bframes=0", False, True),
    ],
)
@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_what_follows_key_frames(tmp_path, write_numbered, x264, leading, refreshed, suffix):
    """Other decoders go wrong where that is not all they need, whether they are installed here or not."""
    options = {"x264-params": f"keyint=20:min-keyint=20:scenecut=0:{x264}"}
    table = read_timetable(str(write_numbered(tmp_path / f"v{suffix}", 0, 70, options=options)))
    assert (table.leading, table.refreshed, table.breaks) == (leading, refreshed, ())


def test_key_frames_of_other_codecs_are_whole(tmp_path, write_numbered):
    table = read_timetable(str(write_numbered(tmp_path / "v.ts", 0, 70, **MPEG2)))
    assert not table.refreshed and table.shown.all()
