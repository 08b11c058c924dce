# SPDX-License-Identifier: Apache-2.0
import av
import numpy as np
import pytest

from surglavi_hf.media import VideoDecodeError
from surglavi_hf.media.audio import LONGEST_S, NoSoundError, read_audio

RATE = 16000


def tone(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


@pytest.fixture
def write(tmp_path):
    """Writes a video of `seconds` from `picture` seconds on, with pieces of sound that start where they say."""

    def write(pieces, name="v.mkv", codec="pcm_s16le", rate=48000, channels=1, seconds=3, picture=0.0, times=1):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            video = container.add_stream("libx264", rate=10)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
            layout = {1: "mono", 2: "stereo"}[channels]
            audio = container.add_stream(codec, rate=rate, layout=layout) if pieces is not None else None
            packets = []
            for number in range(10 * seconds):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number, np.uint8), format="rgb24")
                frame.pts = number + round(10 * picture)
                packets += video.encode(frame)
            packets += video.encode()
            form = audio.codec_context.format if audio else None
            size = 1024
            for start, sound in pieces or ():
                for place in range(0, sound.shape[1], size):
                    part = sound[:, place : place + size]
                    if form.name == "s16":
                        part = (part.T.reshape(1, -1) * 32767).astype(np.int16)
                    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format=form.name, layout=layout)
                    frame.rate, frame.pts = rate, round(start * rate) + place
                    packets += audio.encode(frame)
            packets += audio.encode() if audio else []
            for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
                container.mux(packet)
        return path

    return write


def loud_spans(sound: np.ndarray, rate: int = RATE) -> list[tuple[float, float]]:
    """Returns from when to when there is sound, in seconds; a wave is quiet for a moment at its zeros."""
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    breaks = np.flatnonzero(np.diff(loud) > rate // 50)
    starts, ends = np.append(loud[:1], loud[breaks + 1]), np.append(loud[breaks], loud[-1:])
    return [(start / rate, end / rate) for start, end in zip(starts, ends, strict=True)]


@pytest.mark.parametrize(
    "name, codec, rate, channels",
    [
        ("v.mkv", "pcm_s16le", 48000, 1),
        ("v.mp4", "aac", 44100, 2),
        ("v.mp4", "aac", 16000, 1),
        ("v.mkv", "libopus", 48000, 2),
        ("v.avi", "pcm_s16le", 22050, 2),
        ("v.ts", "aac", 48000, 1),
    ],
)
def test_sound_is_where_it_was(write, name, codec, rate, channels):
    silence = np.zeros((channels, rate), np.float32)
    sound = np.concatenate([silence, tone(1, rate, channels), silence], axis=1)
    found = read_audio(write([(0, sound)], name, codec, rate, channels))
    assert found.dtype == np.float32 and found.ndim == 1 and abs(len(found) - 3 * RATE) < 0.15 * RATE
    ((start, end),) = loud_spans(found)
    assert abs(start - 1) < 0.03 and abs(end - 2) < 0.03
    assert abs(np.abs(found[RATE * 5 // 4 : RATE * 7 // 4]).max() - 0.5) < 0.05, "equal channels keep their loudness"


def test_what_it_is_resampled_to_follows_no_delay(write):
    """A click stays within a sample of its place, at another rate than the file's."""
    sound = np.zeros((1, 48000 * 2), np.float32)
    sound[0, 48000 + 4800] = 0.9
    path = write([(0, sound)])
    for rate in (RATE, 8000, 48000):
        assert abs(int(np.argmax(read_audio(path, rate))) - round(1.1 * rate)) <= 1


def test_a_late_start_and_gaps_are_silence(write):
    path = write([(0.5, tone(0.5, 48000)), (2.0, tone(0.25, 48000)), (5.0, tone(0.5, 48000))])
    found = read_audio(path)
    assert np.allclose(loud_spans(found), [(0.5, 1.0), (2.0, 2.25), (5.0, 5.5)], atol=0.005)
    assert len(found) == pytest.approx(5.5 * RATE, abs=2)


def test_the_clock_starts_with_the_first_stream(write):
    """Where the sound starts before the picture, second 0 is that of the sound, as for clips."""
    late_picture = read_audio(write([(0, tone(1, 48000))], picture=1.0))
    assert np.allclose(loud_spans(late_picture), [(0, 1)], atol=0.005)
    both_late = read_audio(write([(1.5, tone(1, 48000))], "v.ts", "aac", picture=1.0))
    assert np.allclose(loud_spans(both_late), [(0.5, 1.5)], atol=0.05)


def test_stereo_is_mixed(write):
    left = np.concatenate([tone(1, 48000), np.zeros((1, 48000), np.float32)])
    found = read_audio(write([(0, left)], channels=2))
    assert abs(np.abs(found).max() - 0.25) < 0.02


def test_no_sound(write, tmp_path):
    with pytest.raises(NoSoundError, match=r"v\.mkv has no sound, expected"):
        read_audio(write(None))
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(VideoDecodeError, match="cannot be opened") as caught:
        read_audio(tmp_path / "no.mp4")
    assert not isinstance(caught.value, NoSoundError)


def test_damage_is_silence_or_an_error(write, caplog):
    path = write([(0, tone(3, 48000))], "v.mp4", "aac")
    whole = read_audio(path)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    data = bytearray(path.read_bytes())
    middle = len(packets) // 2
    for position, size in packets[middle : middle + 20]:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    found = read_audio(path)
    assert abs(len(found) - len(whole)) <= 1024 and "packets of its sound cannot be decoded" in caplog.text
    place = round(0.9 * RATE)
    assert np.allclose(found[:place], whole[:place], atol=1e-4) and len(loud_spans(found)) == 2
    for position, size in packets:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(VideoDecodeError, match="cannot be decoded; move it away"):
        read_audio(path)


def test_a_clock_that_jumps_is_refused(write):
    """Or silence would fill the memory."""
    path = write([(0, tone(0.1, 48000)), (LONGEST_S + 5, tone(0.1, 48000))])
    with pytest.raises(VideoDecodeError, match="goes on at 86405 s, expected at most 86400 s"):
        read_audio(path)
