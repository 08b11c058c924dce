# SPDX-License-Identifier: Apache-2.0
import importlib.util
import json
import pickle
import re
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from surglavi_hf.media import PastEndError, VideoDecodeError, decode, decode_frames

from ..conftest import SHARED, shown
from .conftest import numbers

# Irregular, with a gap longer than what decoding on bridges without a seek.
TIMES = [0.0, 0.04, 0.08, 0.5, 0.52, 1.0, 2.0, 2.2, 2.25, 2.3, 12.0, 12.1, 12.2, 12.3, 20.0]


def test_last_frame_at_or_before_each_timestamp(tmp_path, write_video, backend):
    video = write_video(tmp_path / "v.mp4", TIMES)
    asked = [0.0, 0.039, 0.04, 1.999, 2.0, 11.9, 12.0, 12.25, 19.9, 20.0, 20.5]
    frames = decode_frames(video, asked, backend)
    assert frames.dtype == torch.uint8 and frames.shape == (len(asked), 3, 64, 64)
    assert shown(frames) == [0, 0, 1, 5, 6, 9, 10, 12, 13, 14, 14]


def test_any_order_and_repeats(tmp_path, write_video, backend):
    video = write_video(tmp_path / "v.mp4", TIMES)
    rng = np.random.default_rng(0)
    asked = rng.choice([*TIMES, *rng.uniform(0, 20, 20)], 60)
    expected = [max(index for index, start in enumerate(TIMES) if start <= time) for time in asked]
    assert shown(decode_frames(video, asked, backend)) == expected


def test_past_the_end(tmp_path, write_video, backend):
    video = write_video(tmp_path / "v.mp4", [0.0, 0.1, 0.2])
    assert shown(decode_frames(video, [1.1], backend)) == [2]
    with pytest.raises(PastEndError, match=r"v\.mp4 ends at 0\.\d+ s, .* 7\.000 s") as caught:
        decode_frames(video, [0.0, 7.0], backend)
    with pytest.raises(PastEndError):
        decode_frames(video, [1e300], backend)
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


def box(name, content=b""):
    """Returns a part of an MP4."""
    return (8 + len(content)).to_bytes(4, "big") + name + content


FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
BROKEN = {
    "empty": b"",
    "text": b"not a video at all",
    "no index": FTYP + bytes(250),
    "no streams": FTYP + box(b"free") + box(b"mdat") + box(b"moov", box(b"mvhd", bytes(100))),
    "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * b"0" + b"\nsize 1\n",
}


@pytest.mark.parametrize("content", BROKEN)
def test_broken_video(tmp_path, backend, content):
    (tmp_path / "broken.mp4").write_bytes(BROKEN[content])
    with pytest.raises(VideoDecodeError, match=r"broken\.mp4") as caught:
        decode_frames(tmp_path / "broken.mp4", [0.0], backend)
    assert "\n" not in str(caught.value)


def test_other_backends_read_what_the_first_cannot(tmp_path, write_video, monkeypatch, caplog):
    """With one warning that says why, however often the file is read."""
    video = write_video(tmp_path / "v.mp4", [0.0, 0.1])
    others = decode.installed_backends()[1:]
    if not others:
        pytest.skip("only PyAV works here")

    def fail(self, path, careful=False):
        raise av.error.InvalidDataError(1, "the reason")

    monkeypatch.setattr(decode._decoder_class("pyav"), "__init__", fail)
    for _ in range(3):
        assert shown(decode_frames(video, [0.15])) == [1]
    assert [record.getMessage() for record in caplog.records] == [
        f"video {video} cannot be decoded by pyav (InvalidDataError: [Errno 1] the reason); move it away, as there "
        f"may be no other copy, and get it again; reading it with {others[0]}"
    ]
    with pytest.raises(VideoDecodeError, match="the reason"):
        decode_frames(video, [0.15], "pyav")


def test_an_unknown_backend(tmp_path, write_video):
    video = write_video(tmp_path / "v.mp4", [0.0])
    with pytest.raises(ValueError, match="'opencv', expected one of 'auto', 'pyav', 'torchcodec', 'decord'"):
        decode_frames(video, [0.0], "opencv")


# As torchcodec 0.13 and 0.17 say it.
NO_FFMPEG = RuntimeError(
    "Could not load libtorchcodec. Likely causes:\n  1. FFmpeg is not properly installed in your environment.\n"
    "OSError: libavutil.so.60: cannot open shared object file: No such file or directory\n"
    "OSError: libnppicc.so.13: cannot open shared object file: No such file or directory\n"
)
NO_CUDA = OSError("Could not load this library: /usr/lib/torchcodec/libtorchcodec_image.so")
NO_CUDA.__cause__ = OSError("libnvrtc.so.13: cannot open shared object file: No such file or directory")


@pytest.fixture
def refuse(monkeypatch):
    """Makes loading backends fail, as if those in `there` were installed."""

    def refuse(errors, there):
        original = decode._decoder_class
        monkeypatch.setattr(decode, "_decoder_class", lambda name: errors[name] if name in errors else original(name))
        monkeypatch.setattr(decode, "_is_installed", lambda name: name in there)
        decode.installed_backends.cache_clear()

    yield refuse
    decode.installed_backends.cache_clear()


@pytest.mark.parametrize(
    "backend, error, there, said",
    [
        ("torchcodec", ModuleNotFoundError("No module named 'torchcodec'"), False, "not installed (ModuleNotFoundErr"),
        ("torchcodec", NO_FFMPEG, True, "FFmpeg's shared libraries are not (looked for libavutil.so.60)"),
        ("torchcodec", NO_CUDA, True, "does not load (no libnvrtc.so.13"),
        ("decord", OSError("Library not loaded: @rpath/libavutil.56.dylib\n  Reason"), True, "(no libavutil.56.dylib"),
        ("decord", AttributeError("no such\nthing"), True, "does not load (AttributeError: no such): install the"),
    ],
)
def test_a_backend_that_does_not_load(tmp_path, write_video, refuse, backend, error, there, said):
    """What is installed is not told to be installed; what is missing is named."""
    video = write_video(tmp_path / "v.mp4", [0.0])
    refuse({backend: error}, ["pyav", *([backend] if there else [])])
    with pytest.raises(ImportError) as caught:
        decode_frames(video, [0.0], backend)
    message = str(caught.value)
    assert said in message and "\n" not in message and ("pip install" in message) != there
    assert decode.backend_problems().keys() == ({backend} if there else set())
    assert shown(decode_frames(video, [0.0])) == [0]


def test_what_is_installed(monkeypatch):
    monkeypatch.setitem(decode._PACKAGES, "decord", "no_such_package")
    assert decode._is_installed("pyav") and not decode._is_installed("decord")


def test_no_backend_at_all(tmp_path, write_video, refuse):
    video = write_video(tmp_path / "v.mp4", [0.0])
    gone = ImportError("No module named 'av'")
    refuse(dict.fromkeys(("pyav", "torchcodec", "decord"), gone), ["decord"])
    expected = (
        "no decoder works here: pyav is not installed (ImportError: No module named 'av'): pip install av; decord"
    )
    with pytest.raises(ImportError, match=re.escape(expected) + " is installed, but opens files with PyAV"):
        decode_frames(video, [0.0])


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4"])
def test_times_count_from_the_start_of_the_file(tmp_path, write_video, backend, name):
    video = write_video(tmp_path / name, [3.0 + time for time in TIMES])
    asked = [0.0, 0.039, 0.04, 2.0, 12.25, 20.5]
    assert shown(decode_frames(video, asked, backend)) == [0, 0, 1, 6, 12, 14]


def test_a_name_that_starts_with_a_dash_or_looks_like_an_address(tmp_path, write_video, backend, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-i.mp4", "http:v.mp4", "concat:a|b.mp4"):
        write_video(tmp_path / "v.mp4", [0.0, 0.1]).rename(tmp_path / name)
        assert shown(decode_frames(name, [0.1], backend)) == [1]


@pytest.mark.parametrize(
    "pix_fmt, codec",
    [("yuv420p10le", "libx265"), ("yuv420p10le", "libx264"), ("yuvj420p", "libx264"), ("yuv444p", "libx264")],
)
def test_colours(tmp_path, backend, pix_fmt, codec):
    """As PyAV's own, or refused."""
    gradient = np.stack(np.meshgrid(np.arange(64) * 4, np.arange(64) * 4, [0, 99, 200])).astype(np.uint8)[0]
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream(codec, rate=5, width=64, height=64, pix_fmt=pix_fmt)
        stream.options = {"crf": "4"} | ({"x265-params": "log-level=none"} if codec == "libx265" else {})
        for shift in range(10):
            picture = np.roll(gradient, 5 * shift, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(tmp_path / "v.mp4")) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    try:
        frames = decode_frames(tmp_path / "v.mp4", [0.0, 0.5, 1.1, 1.9], backend)
    except VideoDecodeError as error:
        assert "10-bit colours" in str(error) and pix_fmt == "yuv420p10le" and backend in ("decord", "torchcodec")
    else:
        for frame, index in zip(frames, [0, 2, 5, 9], strict=True):
            assert np.abs(frame.permute(1, 2, 0).numpy().astype(int) - expected[index]).mean() <= 2


X264 = "keyint=20:min-keyint=20:scenecut=0:"
NEITHER = ("decord", "torchcodec")
# How frames hang together: the suffix, the codec, its options, and what refuses it, for it would show other frames.
STRUCTURES = {
    "closed groups": (".mp4", "libx264", {"g": "12", "bf": "3"}, ()),
    "all key frames": (".mp4", "libx264", {"g": "1"}, ()),
    "all key frames in slices": (".mkv", "libx264", {"x264-params": "keyint=1:slices=4"}, ()),
    "one key frame": (".mp4", "libx264", {"g": "1000"}, ()),
    "a pyramid": (".mp4", "libx264", {"x264-params": X264 + "bframes=8:b-pyramid=strict"}, ()),
    "intra refresh": (
        ".mp4",
        "libx264",
        {"x264-params": X264 + "intra-refresh=1:bframes=0"},
        NEITHER,
    ),
    "intra refresh with B": (".mkv", "libx264", {"x264-params": X264 + "intra-refresh=1"}, NEITHER),
    "intra refresh in .ts": (".ts", "libx264", {"x264-params": X264 + "intra-refresh=1"}, NEITHER),
    "open groups": (".mp4", "libx264", {"x264-params": X264 + "open-gop=1:bframes=3"}, ("decord",)),
    "open groups in .mkv": (".mkv", "libx264", {"x264-params": X264 + "open-gop=1:bframes=3"}, ("decord",)),
    "open groups in .ts": (".ts", "libx264", {"x264-params": X264 + "open-gop=1"}, NEITHER),
    "open HEVC": (".mp4", "libx265", {"x265-params": "open-gop=1:keyint=20:log-level=none"}, ("decord",)),
    "HEVC refresh": (".mp4", "libx265", {"x265-params": "intra-refresh=1:keyint=20:log-level=none"}, ("decord",)),
    "MPEG-2": (".mp4", "mpeg2video", {"g": "12", "bf": "2", "b": "2000000"}, ("decord",)),
    "MPEG-2 in .mpg": (".mpg", "mpeg2video", {"g": "12", "bf": "2", "b": "2000000"}, NEITHER),
    "MPEG-4": (".mkv", "mpeg4", {"g": "12", "bf": "2", "b": "2000000"}, ("decord",)),
    "MPEG-4 in .avi": (".avi", "mpeg4", {"g": "12", "bf": "2", "b": "2000000"}, NEITHER),
    "VP9": (".webm", "libvpx-vp9", {"g": "12", "cpu-used": "8", "b": "2000000"}, ()),
    "VP9 in .ivf": (".ivf", "libvpx-vp9", {"g": "12", "cpu-used": "8", "b": "2000000"}, ("decord",)),
    "AV1": (
        ".mkv",
        "libsvtav1",
        {"g": "12", "preset": "12", "crf": "20"},
        ("decord",),
    ),
    "Flash": (".flv", "libx264", {"g": "12"}, ()),
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_frames_are_those_of_decoding_from_the_start(tmp_path, write_numbered, backend, structure):
    suffix, codec, options, refused = STRUCTURES[structure]
    video = write_numbered(tmp_path / f"v{suffix}", 0, 70, codec, options)
    expected = [image.astype(int) for _, image in sequential(video)]
    assert len(expected) == 70
    if backend in refused:
        with pytest.raises(VideoDecodeError, match=rf"v\{suffix}"):
            decode_frames(video, [0.0], backend)
        return
    rng = np.random.default_rng(0)
    for asked in (*rng.integers(0, 70, (12, 1)), *rng.integers(0, 70, (3, 6)), range(70)):
        decode._CACHE.clear()
        frames = decode_frames(video, [(number + 0.5) / 25 for number in asked], backend)
        for number, frame in zip(asked, frames, strict=True):
            assert np.abs(frame.permute(1, 2, 0).numpy() - expected[number]).mean() <= 2, number


@pytest.mark.parametrize("skipped", [7, 12, 30])
def test_frames_that_an_edit_list_leaves_out(tmp_path, write_numbered, backend, skipped):
    """Are not shown; times count from the first that is. A key frame is the first in one of the three."""
    video = write_numbered(tmp_path / "v.mp4", 0, 60)
    content = bytearray(video.read_bytes())
    place = content.index(b"elst") + 16  # after version, count and duration
    begin = int.from_bytes(content[place : place + 4], "big")
    content[place : place + 4] = (begin + skipped * 3600).to_bytes(4, "big")
    video.write_bytes(content)
    assert numbers(torch.from_numpy(np.stack([image for _, image in sequential(video)])).permute(0, 3, 1, 2)) == list(
        range(skipped, 60)
    )
    if backend in NEITHER and skipped != 12:
        with pytest.raises(VideoDecodeError, match=r"v\.mp4"):
            decode_frames(video, [0.1], backend)
        return
    for asked in ([0], [59 - skipped], list(range(60 - skipped)), [25, 3]):
        frames = decode_frames(video, [(number + 0.5) / 25 for number in asked], backend)
        assert numbers(frames) == [skipped + number for number in asked]


def test_decord_is_installed_where_it_has_a_wheel():
    import platform

    assert (importlib.util.find_spec("decord") is not None) == (platform.machine() in ("x86_64", "AMD64"))


# What a decoder cannot do, or not rightly, and refuses.
REFUSED = {
    "torchcodec": ("h264_10bits.mp4", "corrupted.mp4", "damaged.mp4"),
    "decord": (
        *("h264_10bits.mp4", "corrupted.mp4", "h265_video.mp4", "damaged.mp4", "live.webm"),
        *("av1_video.mkv", "no_duration.webm", "-video-with-dash-.mp4", "fire2.mp4", "video_90.mov"),
    ),
}
REAL_BROKEN = ("group_7__VID12_721_and_VID13_18_b.mp4", "Mpeg4.mp4", "result.webm")


def draw_videos(folder):
    """Writes what real files are like: odd rates, times that are not regular, sound, several streams, damage."""

    def write(name, size=(96, 64), rate=25, times=None, codec="libx264", options=None, sound=False, small=False, bf=2):
        path = folder / name
        with av.open(str(path), "w", options=options or {}) as container:
            streams = [(container.add_stream(codec, rate=rate), size)]
            if small:
                streams.insert(0, (container.add_stream(codec, rate=rate), (32, 32)))
            audio = container.add_stream("libopus" if codec == "libvpx-vp9" else "aac", rate=48000) if sound else None
            for stream, (width, height) in streams:
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.options = {"g": "12", "bf": str(bf), "b": "2000000"}
                stream.codec_context.time_base = Fraction(1, 1000) if times else 1 / Fraction(rate)
            for index in range(60):
                for stream, (width, height) in streams:
                    picture = np.random.default_rng(index).integers(0, 255, (4, 4, 3), np.uint8)
                    picture = picture.repeat(height // 4, axis=0).repeat(width // 4, axis=1)
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                    frame.pts, frame.time_base = index, stream.codec_context.time_base
                    if times:
                        frame.pts = round(1000 * times[index])
                    container.mux(stream.encode(frame))
            for stream, _ in streams:
                container.mux(stream.encode())
            for index in range(100 if audio else 0):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
                frame.rate, frame.pts = 48000, 960 * index
                container.mux(audio.encode(frame))
            container.mux(audio.encode() if audio else [])
        return path

    write("ntsc.mp4", rate=Fraction(30000, 1001), sound=True)
    write("one_a_second.mp4", rate=1)
    write("odd.mkv", rate=Fraction(750000, 71393), sound=True)
    gaps = np.random.default_rng(1).choice([0.02, 0.033, 0.04, 0.5], 60)
    for name in ("irregular.mp4", "irregular.mkv"):
        write(name, times=(np.cumsum(gaps) - gaps[0]).tolist())
    write("streams.mp4", sound=True, small=True)
    write("live.webm", codec="libvpx-vp9", options={"live": "1"}, sound=True)
    damaged = write("damaged.mp4", bf=0)
    content = bytearray(damaged.read_bytes())
    with av.open(str(damaged)) as container:
        position, size = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][30]
    content[position + 4 : position + size] = bytes([0xFF]) * (size - 4)
    damaged.write_bytes(content)


def sequential(video):
    """Yields the seconds and the upright picture of each frame in PyAV's decode from the start."""
    with av.open(str(video)) as container:
        for packet in container.demux(container.streams.best("video")):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in frames:
                yield frame.time, np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Drawn videos, and real ones where they are beside the checkout."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_videos(folder)
    folders = [folder, *(SHARED / "data" / name for name in ("videos_surgical", "videos_decoder") if SHARED.is_dir())]
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix not in (".json", ".txt")]
    assert len(files) == 8 + (24 if SHARED.is_dir() else 0)
    return files


@pytest.fixture(scope="module")
def frames_of_files(files):
    """Of each video that can be read, twenty timestamps and the frames that are on screen then."""
    rng = np.random.default_rng(0)
    frames = {}
    for video in files:
        if video.name not in REAL_BROKEN:
            starts = [start for start, _ in sequential(video)]
            asked = [*rng.uniform(0, starts[-1], 14), *rng.choice(starts, 6)]
            indices = [max(index for index, start in enumerate(starts) if start <= time) for time in asked]
            images = {index: image for index, (_, image) in enumerate(sequential(video)) if index in indices}
            frames[video] = asked, [images[index] for index in indices]
    return frames


def test_frames_equal_sequential_decoding(frames_of_files, backend):
    """Every frame is the one on screen at its timestamp in PyAV's decode from the start."""
    for video, (asked, expected) in frames_of_files.items():
        if video.name in REFUSED.get(backend, ()):
            with pytest.raises(VideoDecodeError) as caught:
                decode_frames(video, asked, backend)
            assert video.name in str(caught.value)
            continue
        for time, frame, image in zip(asked, decode_frames(video, asked, backend), expected, strict=True):
            difference = np.abs(frame.permute(1, 2, 0).numpy().astype(int) - image.astype(int)).mean()
            assert difference <= 2, f"{video.name} at {time} s"


def test_broken_files(files, backend):
    for video in files:
        if video.name in REAL_BROKEN:
            with pytest.raises(VideoDecodeError, match=re.escape(video.name)):
                decode_frames(video, [0.0], backend)


def test_the_best_of_several_streams(files, backend):
    """At the time of each of its frames that frame; just before it, the one before."""
    streams = next(path for path in files if path.name == "streams.mp4")
    for video, rate in [(streams, 25), *((path, 30000 / 1001) for path in files if path.name == "nasa_13013.mp4")]:
        images = [image.astype(int) for _, image in sequential(video)]
        starts = [index / rate for index in range(len(images))]
        if video.name == "nasa_13013.mp4":
            assert len(images) == 390
            published = video.with_name(f"{video.name}.stream3.all_frames_info.json").read_text()
            starts = [float(frame["pts_time"]) for frame in json.loads(published)]
        for index in (0, 1, 17, len(images) - 1):
            for time, expected in ((starts[index] + 1e-5, index), (starts[index] - 1e-3, index - 1)):
                if expected >= 0:
                    frame = decode_frames(video, [time], backend)[0].permute(1, 2, 0).numpy()
                    assert np.abs(frame - images[expected]).mean() <= 2
