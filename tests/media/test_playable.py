# SPDX-License-Identifier: Apache-2.0
"""What browsers play, and copies that show the same frame at every second."""

import os
import resource
import struct
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

from surglavi_hf.media import PastEndError, VideoDecodeError, browser_problem, decode_frames, write_playable_copy
from surglavi_hf.media.playable import _size

from ..conftest import shown
from .conftest import add_sound, draw, numbers
from .test_pyav_decoder import spoil


def write(path, codec, pix_fmt="yuv420p", sound=None, format=None, count=5, options=None, pictures=1):
    """Writes grey frames, five a second, with silence in a codec."""
    muxing = {"live": "1"} if format == "live" else {}
    with av.open(str(path), "w", format="webm" if format == "live" else format, options=muxing) as container:
        streams = [container.add_stream(codec, rate=5, width=128, height=64, pix_fmt=pix_fmt) for _ in range(pictures)]
        for stream in streams:
            stream.options = options or {}
        audio = container.add_stream(sound, rate=48000, layout="stereo") if sound else None
        if audio:
            audio.codec_context.options = {"strict": "-2"}  # Vorbis is an experiment of FFmpeg
        for index in range(count):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(np.full((64, 128, 3), 8 * index % 256, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
        if audio:
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), format="fltp", layout="stereo")
            frame.sample_rate = 48000
            packets = [*audio.encode(frame), *audio.encode()]
            container.mux([packet for packet in packets if packet.size])  # FLAC ends with none
    return path


X265 = {"x265-params": "log-level=none"}
PLAYED = {
    "h264.mp4": {"codec": "libx264"},
    "h264.mov": {"codec": "libx264"},
    "baseline.mp4": {"codec": "libx264", "options": {"profile": "baseline"}},
    "full range.mp4": {"codec": "libx264", "pix_fmt": "yuvj420p"},
    "vp9.mp4": {"codec": "libvpx-vp9"},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.webm": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "of ten bits.webm": {"codec": "libsvtav1", "pix_fmt": "yuv420p10le", "options": {"preset": "12"}},
    "live.webm": {"codec": "libvpx", "format": "live"},
    "webm.mkv": {"codec": "libvpx", "format": "webm"},
    "webm.mp4": {"codec": "libvpx", "format": "webm"},
    "mp4.webm": {"codec": "libx264", "format": "mp4"},
    **{f"{sound}.mp4": {"codec": "libx264", "sound": sound} for sound in ("aac", "libmp3lame", "libopus", "flac")},
    **{f"{sound}.webm": {"codec": "libvpx", "sound": sound} for sound in ("libopus", "vorbis")},
}
NOT_PLAYED = {
    "hevc.mp4": ("HEVC video, which many", {"codec": "libx265", "options": X265}),
    "mpeg4.mp4": ("MPEG-4 Part 2 video", {"codec": "mpeg4"}),
    "mpeg2.mp4": ("MPEG-2 video", {"codec": "mpeg2video", "options": {"strict": "-2"}}),
    "prores.mov": ("ProRes video", {"codec": "prores", "pix_fmt": "yuv422p10le"}),
    "vp8.mkv": ("Matroska file", {"codec": "libvpx"}),
    "h264.mkv": ("Matroska file", {"codec": "libx264"}),
    "matroska.webm": ("Matroska file", {"codec": "libx264", "format": "matroska"}),
    "h264 10.mp4": ("10 bits a colour", {"codec": "libx264", "pix_fmt": "yuv420p10le"}),
    "h264 422.mp4": ("4:2:2 colours", {"codec": "libx264", "pix_fmt": "yuv422p"}),
    "h264 444.mp4": ("4:4:4 colours", {"codec": "libx264", "pix_fmt": "yuv444p"}),
    "h264 rgb.mp4": ("RGB colours", {"codec": "libx264rgb", "pix_fmt": "rgb24"}),
    "h264.avi": ("AVI file", {"codec": "libx264"}),
    "h264.ts": ("MPEG transport stream", {"codec": "libx264"}),
    "avi.mp4": ("AVI file", {"codec": "libx264", "format": "avi"}),
    "mpeg2.mpg": ("MPEG program stream", {"codec": "mpeg2video", "options": {"strict": "-2"}}),
    "h264.flv": ("Flash video file", {"codec": "libx264"}),
    "vp8.ivf": ("On2 IVF file", {"codec": "libvpx"}),
    "ac3.mp4": ("AC-3 sound", {"codec": "libx264", "sound": "ac3"}),
    "alac.mp4": ("Apple Lossless sound", {"codec": "libx264", "sound": "alac"}),
    "pcm.mov": ("PCM sound", {"codec": "libx264", "sound": "pcm_s16le"}),
    "two.mp4": ("several pictures", {"codec": "libx264", "pictures": 2}),
}


@pytest.mark.parametrize("name", PLAYED)
def test_what_browsers_play(tmp_path, name):
    assert browser_problem(write(tmp_path / name, **PLAYED[name])) is None


@pytest.mark.parametrize("name", NOT_PLAYED)
def test_what_browsers_do_not_play(tmp_path, name):
    """And what they play of it."""
    problem, how = NOT_PLAYED[name]
    video = write(tmp_path / name, **how)
    assert problem in browser_problem(video)
    write_playable_copy(video, tmp_path / "copy.mp4")
    assert browser_problem(tmp_path / "copy.mp4") is None
    times = np.arange(5) / 5 + 0.1
    was, now = (decode_frames(path, times).float().mean(dim=(1, 2, 3)) for path in (video, tmp_path / "copy.mp4"))
    assert (was - now).abs().max() < 4


@pytest.mark.parametrize(
    "name, how",
    [
        ("v.mp4", {"codec": "libx264"}),
        ("v.webm", {"codec": "libvpx"}),
        ("live.webm", {"codec": "libvpx", "format": "live"}),
    ],
)
def test_joined_recordings_are_a_problem(tmp_path, name, how):
    content = write(tmp_path / name, **how).read_bytes()
    joined = tmp_path / f"joined {name}"
    joined.write_bytes(content + content)
    assert browser_problem(joined) == "recordings joined byte by byte"
    assert browser_problem(tmp_path / name) is None


@pytest.mark.parametrize(
    "name, problem",
    [
        ("B-frames", None),
        ("uneven", None),
        ("open groups", "groups of pictures that need others, in which some browsers cannot seek"),
        ("no key frames", "groups of pictures that need others, in which some browsers cannot seek"),
        ("from ten seconds on", "a clock that starts at 10.0 s, which browsers show as it is"),
        ("VP9", None),
        ("VP9 from ten seconds on", "a clock that starts at 10.0 s, which browsers show as it is"),
    ],
)
def test_what_chromium_shows_wrongly(tmp_path, write_numbered, name, problem):
    """Or not at all once it was sought."""
    assert browser_problem(make(tmp_path, write_numbered, name)[0]) == problem


def test_what_is_no_video(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"none")
    (tmp_path / "w.webm").write_bytes(b"\x1aE\xdf\xa3")
    for path in (tmp_path / "v.mp4", tmp_path / "w.webm", tmp_path / "missing.mp4"):
        with pytest.raises(VideoDecodeError, match=r"cannot be opened") as caught:
            browser_problem(path)
        assert "\n" not in str(caught.value)


def turn(path, matrix):
    """Writes how the picture is shown into an MP4: a point (x, y) at (a x + c y, b x + d y)."""
    content = bytearray(path.read_bytes())
    a, b, c, d = (round(value * 0x10000) for value in matrix)
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


WAYS = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


@pytest.mark.parametrize("matrix", WAYS)
def test_copies_are_upright(tmp_path, write_numbered, matrix):
    video = write_numbered(tmp_path / "v.mp4", 0, 5)
    turn(video, matrix)
    mirrored = matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0
    assert (browser_problem(video) is not None) == mirrored
    write_playable_copy(video, tmp_path / "copy.mp4")
    assert browser_problem(tmp_path / "copy.mp4") is None
    was, now = (decode_frames(path, [0.1]).float() for path in (video, tmp_path / "copy.mp4"))
    assert was.shape == now.shape == ((1, 3, 128, 64) if matrix[0] == 0 else (1, 3, 64, 128))
    assert (was - now).abs().mean() < 4
    content = (tmp_path / "copy.mp4").read_bytes()
    found = struct.unpack_from(">9i", content, content.index(b"tkhd") + 44)
    assert found == (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 1 << 30)


OPEN = {"options": {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0:b-adapt=0"}}
UNEVEN = [0.0, 0.04, 0.05, 0.3, 0.31, 0.7, 0.9, 2.9, 2.94, 2.98, 3.5, 3.513, 3.52, 3.6]
SOUND = {"sound": True}
MPEG2 = {"codec": "mpeg2video"}
SOURCES = {
    "B-frames": (".mp4", [(60, 0, {})]),
    "QuickTime": (".mov", [(60, 0, {})]),
    "Matroska": (".mkv", [(60, 0, {})]),
    "HEVC": (".mp4", [(60, 0, {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=20"}})]),
    "VP9": (".webm", [(60, 0, {"codec": "libvpx-vp9", "options": {"b": "2000000"}})]),
    "VP9 from ten seconds on": (".webm", [(60, 10, {"codec": "libvpx-vp9", "options": {"b": "2000000"}})]),
    "no key frames": (".mp4", [(60, 0, {"options": {"x264-params": "intra-refresh=1:keyint=24:bframes=0"}})]),
    "open groups": (".mp4", [(60, 0, OPEN)]),
    "open groups in a stream": (".ts", [(60, 0, OPEN)]),
    "uneven": (".mp4", [(len(UNEVEN), 0, {"times": UNEVEN})]),
    "uneven from an hour on": (".mkv", [(len(UNEVEN), 3600, {"times": UNEVEN})]),
    "from ten seconds on": (".mp4", [(60, 10, {})]),
    "from an hour on": (".ts", [(60, 3600, {})]),
    "with sound": (".mkv", [(60, 7, SOUND)]),
    "AVI": (".avi", [(60, 0, {"codec": "mpeg4", "options": {"g": "12", "bf": "0", "b": "2000000"}})]),
    "Flash": (".flv", [(60, 0, {})]),
    "joined": (".ts", [(40, 5, {}), (30, 2, {}), (30, 100, {})]),
    "joined with sound": (".ts", [(40, 0, SOUND), (40, 500, SOUND)]),
    "joined program streams": (".mpg", [(40, 0, MPEG2), (40, 0, MPEG2)]),
}


def make(folder, write_numbered, name):
    suffix, parts = SOURCES[name]
    content, first = b"", 0
    for count, start, how in parts:
        content += write_numbered(folder / f"part{suffix}", first, count, start=start, **how).read_bytes()
        first += count
    (folder / f"v{suffix}").write_bytes(content)
    return folder / f"v{suffix}", first


def ends_at(path):
    with pytest.raises(PastEndError) as caught:
        decode_frames(path, [1e6])
    return caught.value.end


def assert_same(source, copy, step=0.02):
    """At every `step` seconds, and in between, both show the same."""
    end = ends_at(source)
    assert ends_at(copy) == pytest.approx(end, abs=0.021)
    times = np.concatenate([np.arange(0.0, end, step), np.random.default_rng(0).uniform(0, end, 50)])
    was, now = (decode_frames(path, times) for path in (source, copy))
    assert numbers(was) == numbers(now)
    assert (was.float() - now.float()).abs().mean(dim=(1, 2, 3)).max() < 8
    return numbers(was)


@pytest.mark.parametrize("name", SOURCES)
def test_copies_show_the_same_at_every_second(tmp_path, write_numbered, name):
    video, count = make(tmp_path, write_numbered, name)
    write_playable_copy(video, tmp_path / "copy")
    (tmp_path / "copy").rename(tmp_path / "copy.mp4")
    found = assert_same(video, tmp_path / "copy.mp4", 0.003 if "uneven" in name else 0.02)
    assert set(found) == set(range(count))


def test_frame_starts(tmp_path, write_numbered):
    """A frame asked for at the very second that it starts is on screen then, of rates that are whole ticks."""
    video = write_numbered(tmp_path / "v.mp4", 0, 50)
    write_playable_copy(video, tmp_path / "copy.mp4")
    assert numbers(decode_frames(tmp_path / "copy.mp4", [index / 25 for index in range(50)])) == list(range(50))


def test_a_frame_that_is_not_seen(tmp_path):
    """It is shown for four millionths of a second."""
    with av.open(str(tmp_path / "v.mp4"), "w", options={"video_track_timescale": "1000000"}) as container:
        stream = container.add_stream("libx264", rate=25, width=128, height=64, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 1_000_000)
        for index, ticks in enumerate((0, 40_000, 40_004, 80_000)):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts, frame.time_base = ticks, Fraction(1, 1_000_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_playable_copy(tmp_path / "v.mp4", tmp_path / "copy.mp4")
    for name in ("v.mp4", "copy.mp4"):
        assert numbers(decode_frames(tmp_path / name, [0.02, 0.06, 0.1])) == [0, 2, 3]


def test_an_edit_list(tmp_path, write_numbered):
    """Which leaves out frames that others are predicted from."""
    whole = write_numbered(tmp_path / "whole.mp4", 0, 60)
    content = bytearray(whole.read_bytes())
    place = content.index(b"elst")
    (size,) = struct.unpack_from(">i", content, place + 16)
    with av.open(str(whole)) as container:
        ticks = round(0.4 / container.streams.video[0].time_base)
    struct.pack_into(">i", content, place + 16, size + ticks)
    (tmp_path / "v.mp4").write_bytes(content)
    assert numbers(decode_frames(tmp_path / "v.mp4", [0.02])) == [10]
    write_playable_copy(tmp_path / "v.mp4", tmp_path / "copy.mp4")
    times = (np.arange(50) + 0.5) / 25
    assert numbers(decode_frames(tmp_path / "copy.mp4", times)) == list(range(10, 60))


def test_the_picture_begins_after_the_sound(tmp_path):
    """Until then the first frame is shown."""
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=128, height=64, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("libmp3lame", rate=48000, layout="mono")
        write_tone(container, audio, 3.0)
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts, frame.time_base = 1000 + 40 * index, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_playable_copy(tmp_path / "v.mkv", tmp_path / "copy.mp4")
    times = [0.0, 0.5, 1.06, 1.5, 1.9]
    was, now = (numbers(decode_frames(tmp_path / name, times)) for name in ("v.mkv", "copy.mp4"))
    assert was == now and was[:2] == [0, 0] and was[-1] > 20
    assert beginning(tmp_path / "copy.mp4") == pytest.approx(0.0, abs=0.03)


def write_tone(container, audio, seconds, begin=0.0, silent=0.0, step=1152):
    """Writes a tone from `begin` on, of which the first seconds are `silent`, as if 1152 samples were `step`."""
    samples = np.sin(np.arange(int(48000 * seconds)) / 10).astype(np.float32) / 2
    samples[: int(48000 * silent)] = 0
    packets = []
    for start in range(0, len(samples) - 1152, 1152):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1152], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        packets += audio.encode(frame)
    packets += audio.encode()
    for packet in packets:
        if packet.size:
            packet.pts = packet.dts = round(packet.pts * packet.time_base * 1000 * step / 1152 + begin * 1000)
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)


def sound_of(path):
    """Returns the sound with the second that each frame of it starts."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray().reshape(-1)) for frame in container.decode(audio=0)]


def beginning(path):
    """Returns the second that sound can be heard from."""
    for time, samples in sound_of(path):
        loud = np.nonzero(np.abs(samples.astype(float)) > 0.2)[0]
        if len(loud):
            return time + loud[0] / 48000
    return None


@pytest.mark.parametrize("begin, silent", [(0.0, 0.7), (0.7, 0.0), (0.3, 0.4)])
@pytest.mark.parametrize("start", [0.0, 5.0])
def test_sound_stays_with_the_picture(tmp_path, begin, silent, start):
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=128, height=64, pix_fmt="yuv420p")
        audio = container.add_stream("flac", rate=48000, layout="mono", format="s16")
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts, frame.time_base = index + round(25 * start), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        write_tone(container, audio, 5.0, start + begin, silent)
    write_playable_copy(tmp_path / "v.mkv", tmp_path / "copy.mp4")
    assert beginning(tmp_path / "copy.mp4") == pytest.approx(0.7, abs=0.025)
    assert sound_of(tmp_path / "copy.mp4")[-1][0] == pytest.approx(2.0, abs=0.05)  # the picture ends


def test_a_sound_that_is_longer_than_its_clock_says(tmp_path):
    """Does not run away from the picture."""
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=128, height=64, pix_fmt="yuv420p")
        audio = container.add_stream("flac", rate=48000, layout="mono", format="s16")
        for index in range(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(index), format="rgb24")))
        container.mux(stream.encode())
        write_tone(container, audio, 5.0, silent=2.4, step=960)
    write_playable_copy(tmp_path / "v.mkv", tmp_path / "copy.mp4")
    assert beginning(tmp_path / "copy.mp4") == pytest.approx(2.0, abs=0.08)


def test_sound_that_cannot_be_read(tmp_path, write_numbered):
    """The picture is there all the same."""
    video = write_numbered(tmp_path / "v.ts", 0, 50, sound=True)
    content = bytearray(video.read_bytes())
    for place in range(0, len(content), 188):
        if (content[place + 1] & 0x1F) << 8 | content[place + 2] == 0x101:  # the packets of the sound
            header = 4 if not content[place + 3] & 0x20 else 5 + content[place + 4]
            payload = place + header + (14 if content[place + 1] & 0x40 else 0)
            content[payload : place + 188] = bytes([0xAA]) * (place + 188 - payload)
    (tmp_path / "v.ts").write_bytes(content)
    write_playable_copy(video, tmp_path / "copy.mp4")
    assert numbers(decode_frames(tmp_path / "copy.mp4", (np.arange(50) + 0.5) / 25)) == list(range(50))
    with av.open(str(tmp_path / "copy.mp4")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("number", [0, 15])
def test_damage(tmp_path, number):
    """What cannot be decoded is replaced by the frame before it, at the start by the first that can."""
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, width=128, height=64, pix_fmt="yuv420p")
        stream.options = {"g": "4", "bf": "0"}
        for index in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(index), format="rgb24")))
        container.mux(stream.encode())
    spoil(tmp_path / "v.mp4", number)
    write_playable_copy(tmp_path / "v.mp4", tmp_path / "copy.mp4")
    times = (np.arange(4 if number == 0 else 0, 30) + 0.5) / 10
    was, now = (numbers(decode_frames(tmp_path / name, times)) for name in ("v.mp4", "copy.mp4"))
    assert was == now and number not in was
    assert numbers(decode_frames(tmp_path / "copy.mp4", [0.0])) == ([4] if number == 0 else [0])  # the next key frame


def boxes(path):
    content, place, found = path.read_bytes(), 0, []
    while place < len(content):
        found.append(content[place + 4 : place + 8])
        place += int.from_bytes(content[place : place + 4], "big")
    return found


@pytest.mark.parametrize("name", ["B-frames", "uneven", "with sound"])
def test_copies_are_quick_to_seek_in(tmp_path, write_numbered, name):
    video, _ = make(tmp_path, write_numbered, name)
    copy = tmp_path / "copy.mp4"
    write_playable_copy(video, copy)
    assert boxes(copy).index(b"moov") < boxes(copy).index(b"mdat")
    with av.open(str(copy)) as container:
        stream = container.streams.video[0]
        assert (stream.codec.canonical_name, stream.pix_fmt) == ("h264", "yuv420p")
        found = [(float(p.pts * stream.time_base), p.is_keyframe) for p in container.demux(stream) if p.size]
    assert found == sorted(found) and found[0][1]
    keys = [time for time, is_key in found if is_key]
    for key, following in pairwise(keys):
        between = [time for time, _ in found if key < time < following]
        assert following - key <= 0.5 + 1e-6 or not between  # a frame that is shown for longer
    assert found[-1][0] - keys[-1] <= 0.5
    assert "uneven" in name or len(keys) < len(found) / 8


def test_copies_choose_their_own_key_frames(tmp_path, write_numbered):
    """Not those of the source."""
    write_playable_copy(write_numbered(tmp_path / "v.mp4", 0, 50, options={"g": "1"}), tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        assert [packet.pts for packet in container.demux(video=0) if packet.is_keyframe] == [
            round(90000 * index / 25) for index in range(0, 50, 12)
        ]


def test_sound_lies_beside_the_picture_in_the_file(tmp_path):
    """Also where frames are few: a player that reads on need not read far."""
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=1, width=128, height=64, pix_fmt="yuv420p")
        audio = container.add_stream("flac", rate=48000, layout="mono", format="s16")
        for index in range(25):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(index), format="rgb24")))
        container.mux(stream.encode())
        write_tone(container, audio, 25.0)
    write_playable_copy(tmp_path / "v.mkv", tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        packets = [
            (packet.pos, packet.stream.type, float(packet.pts * packet.time_base))
            for packet in container.demux()
            if packet.size
        ]
    latest = {"audio": 0.0, "video": 0.0}
    for _, kind, time in sorted(packets):
        latest[kind] = time
        assert abs(latest["audio"] - latest["video"]) < 2.0


@pytest.mark.parametrize(
    "width, height, aspect, transposed, expected",
    [
        (1920, 1080, None, False, (1280, 720)),
        (1920, 1080, Fraction(1), False, (1280, 720)),
        (854, 480, Fraction(1), False, (854, 480)),
        (720, 576, Fraction(16, 11), False, (1048, 576)),
        (720, 576, Fraction(64, 45), True, (404, 720)),
        (720, 480, Fraction(8, 9), False, (720, 540)),
        (1920, 1080, None, True, (404, 720)),
        (641, 361, None, False, (640, 360)),
        (8000, 400, None, False, (2560, 128)),
        (2, 2, None, False, (2, 2)),
        (1, 1, Fraction(1, 9), False, (2, 2)),
        (640, 480, Fraction(1, 1000), False, (640, 480)),
    ],
)
def test_sizes(monkeypatch, width, height, aspect, transposed, expected):
    from surglavi_hf.media import playable
    from surglavi_hf.media.frame_arrays import Orientation

    monkeypatch.setattr(playable, "orientation", lambda frame: Orientation(transposed, False, False))
    found = _size(av.VideoFrame(width, height), aspect)
    assert found == expected


def test_large_pictures_become_smaller(tmp_path):
    """And pixels that are not square become so."""
    ramp = np.broadcast_to(np.linspace(20, 230, 1440).astype(np.uint8)[None, :, None], (1080, 1440, 3))
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=1440, height=1080, pix_fmt="yuv420p")
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(ramp), format="rgb24")))
        container.mux(stream.encode())
    write_playable_copy(tmp_path / "v.mkv", tmp_path / "copy.mp4")
    (frame,) = decode_frames(tmp_path / "copy.mp4", [0.05])
    assert frame.shape == (3, 720, 1280)
    assert np.abs(frame.float().mean(dim=(0, 1)).numpy() - np.linspace(20, 230, 1280)).max() < 4
    with av.open(str(tmp_path / "copy.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)


def test_streams_that_change_their_size(tmp_path, write_video):
    """All of the copy has the size of the first."""
    parts = [
        write_video(tmp_path / f"{size}.ts", [start + index / 10 for index in range(5)], size).read_bytes()
        for start, size in ((0.2, 64), (0.7, 32))
    ]
    (tmp_path / "v.ts").write_bytes(b"".join(parts))
    write_playable_copy(tmp_path / "v.ts", tmp_path / "copy.mp4")
    frames = decode_frames(tmp_path / "copy.mp4", [0.05, 0.35, 0.65, 0.85])
    assert frames.shape == (4, 3, 64, 64) and shown(frames) == [0, 3, 1, 3]


@pytest.mark.parametrize("pix_fmt", ["rgb24", "yuvj420p", "yuv420p", "yuv444p10le"])
@pytest.mark.parametrize("space", [None, 1, 6])
def test_colours(tmp_path, pix_fmt, space):
    codec = {"rgb24": "libx264rgb"}.get(pix_fmt, "libx264")
    picture = np.full((64, 128, 3), (200, 60, 40), np.uint8)
    picture[:32, 64:] = 0
    picture[32:, 64:] = 255
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream(codec, rate=25, width=128, height=64, pix_fmt=pix_fmt)
        if space and codec == "libx264":
            stream.codec_context.colorspace = space
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    write_playable_copy(tmp_path / "v.mkv", tmp_path / "copy.mp4")
    was, now = (decode_frames(tmp_path / name, [0.05]).float() for name in ("v.mkv", "copy.mp4"))
    assert (was - now).abs().mean() < 3
    with av.open(str(tmp_path / "copy.mp4")) as container:
        found = next(container.decode(video=0)).colorspace
    assert found == (space or 2) if codec == "libx264" else found == 1


@pytest.mark.parametrize("name", ["B-frames", "joined", "AVI"])
def test_shares_of_what_is_done(tmp_path, write_numbered, name):
    video, count = make(tmp_path, write_numbered, name)
    shares = []
    write_playable_copy(video, tmp_path / "copy.mp4", shares.append)
    assert len(shares) >= count and shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert shares[count // 2] == pytest.approx(0.5, abs=0.1)


def test_a_length_that_is_not_declared(tmp_path):
    shares = []
    write_playable_copy(write(tmp_path / "v.webm", "libvpx", format="live"), tmp_path / "copy.mp4", shares.append)
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])


@pytest.mark.parametrize("asked", [1, 30])
def test_stopping_leaves_nothing(tmp_path, write_numbered, asked):
    video = write_numbered(tmp_path / "v.mp4", 0, 60)
    target = tmp_path / "copies" / "copy.mp4"
    target.parent.mkdir()
    answers = iter([False] * (asked - 1) + [True])
    with pytest.raises(InterruptedError):
        write_playable_copy(video, target, stopped=lambda: next(answers))
    assert not list(target.parent.iterdir())


def test_what_cannot_be_copied(tmp_path, write_numbered):
    """In one line, and what was there stays."""
    (tmp_path / "none.mp4").write_bytes(b"none")
    write_numbered(tmp_path / "damaged.mp4", 0, 5)
    with av.open(str(tmp_path / "damaged.mp4")) as container:
        spans = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    with (tmp_path / "damaged.mp4").open("r+b") as file:
        for place, size in spans:
            file.seek(place)
            file.write(bytes(size))
    content = write(tmp_path / "v.webm", "libvpx", count=50).read_bytes()
    (tmp_path / "joined.webm").write_bytes(content + content)
    (tmp_path / "copies").mkdir()
    target = tmp_path / "copies" / "copy.mp4"
    target.write_bytes(b"before")
    for name in ("none.mp4", "damaged.mp4", "joined.webm", "missing.mp4"):
        with pytest.raises(VideoDecodeError, match=name) as caught:
            write_playable_copy(tmp_path / name, target)
        assert "\n" not in str(caught.value)
        assert list(target.parent.iterdir()) == [target] and target.read_bytes() == b"before"


def test_a_disk_that_cannot_be_written(tmp_path, write_numbered):
    video = write_numbered(tmp_path / "v.mp4", 0, 60)
    with pytest.raises(OSError, match=r"copy\.mp4") as caught:
        write_playable_copy(video, tmp_path / "missing" / "copy.mp4")
    assert not isinstance(caught.value, VideoDecodeError)
    (tmp_path / "copies").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"copy\.mp4"):
            write_playable_copy(video, tmp_path / "copies" / "copy.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "copies").iterdir())


@pytest.mark.parametrize("name", ["-v.mp4", "http:v.mp4", "concat:a|b.mp4", "%d v.mp4", "v\n.mp4", "víd eo'\".mp4"])
def test_hostile_names(tmp_path, monkeypatch, write_numbered, name):
    write_numbered(tmp_path / "plain.mp4", 0, 5).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert browser_problem(name) is None
    os.mkdir("copies")
    monkeypatch.chdir("copies")
    write_playable_copy(f"../{name}", name)
    assert os.listdir() == [name]
    assert numbers(decode_frames(tmp_path / "copies" / name, [0.1])) == [2]
    monkeypatch.chdir(tmp_path)
    write_playable_copy(name, "copies/other.mp4")


REAL = {
    "-video-with-dash-.mp4": "4:4:4 colours",
    "av1_video.mkv": "Matroska file",
    "bikes.mp4": None,
    "carphone_pristine.mp4": None,
    "corrupted.mp4": None,
    "flipping_a_pancake.mkv": "Matroska file",
    "h264_10bits.mp4": "10 bits a colour",
    "h265_video.mp4": "HEVC video, which many browsers cannot play",
    "nasa_13013.mp4": "several pictures, of which browsers may show another",
    "no_duration.webm": None,
    "realshort.mp4": None,
    "test-25fps.vp9": "On2 IVF file",
    "video_0.mov": None,
    "video_90.mov": None,
}


@pytest.mark.parametrize("name", REAL)
def test_real_videos(tmp_path, shared, name):
    video = shared / "data" / "videos_decoder" / name
    assert browser_problem(video) == REAL[name]
    write_playable_copy(video, tmp_path / "copy.mp4")
    assert browser_problem(tmp_path / "copy.mp4") is None
    times = np.random.default_rng(0).uniform(0, ends_at(video), 8)
    was, now = (decode_frames(path, times).float() for path in (video, tmp_path / "copy.mp4"))
    was = torch.nn.functional.interpolate(was, now.shape[2:], mode="area")
    assert (was - now).abs().mean(dim=(1, 2, 3)).max() < 6


def test_sound_of_six_channels_that_is_no_number(tmp_path):
    """Becomes two channels, silent where it is none."""
    samples = np.full((6, 48000), 0.4, np.float32)
    samples[:, 20000:30000] = np.nan
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=128, height=64, pix_fmt="yuv420p")
        audio = container.add_stream("pcm_f32le", rate=48000, layout="5.1", format="flt")
        for index in range(25):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(index), format="rgb24")))
        container.mux(stream.encode())
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), format="flt", layout="5.1")
        frame.sample_rate = 48000
        container.mux(audio.encode(frame))
    write_playable_copy(tmp_path / "v.mkv", tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        (sound,) = container.streams.audio
        assert (sound.codec.canonical_name, sound.layout.name) == ("aac", "stereo")
        length = sum(frame.samples for frame in container.decode(sound))
    assert length == pytest.approx(48000, abs=2048)


def test_sound_is_kept(tmp_path, write_numbered):
    add_sound(write_numbered(tmp_path / "v.mp4", 0, 50), tmp_path / "v.mkv")
    write_playable_copy(tmp_path / "v.mkv", tmp_path / "copy.mp4")
    with av.open(str(tmp_path / "copy.mp4")) as container:
        assert [stream.codec.canonical_name for stream in container.streams] == ["h264", "aac"]
