# SPDX-License-Identifier: Apache-2.0
"""Whether a browser plays a video file, and copies that every browser plays."""

import errno
import logging
import mmap
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.video.format import VideoFormat
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from ..files import written_whole
from .clock import is_listed
from .container import open_video
from .errors import GET_ANOTHER, DamagedVideoError, VideoDecodeError
from .frame_arrays import first_orientation, orientation, turned
from .pyav_decoder import PyAVDecoder
from .timetable import is_intra, read_timetable, stamped_packets

logger = logging.getLogger(__name__)

MOST_LINES, MOST_COLUMNS = 720, 2560  # pixels of a copy
KEY_S = 0.5  # the most from one key frame of a copy to the next
_TICKS = 90_000  # a second, of the picture of a copy
_SAMPLES = 48_000  # a second, of its sound
_GAP = _SAMPLES // 20  # by fewer samples the clock of the sound is rounded
# Superfast has a third more frames a second than veryfast. Without B-frames nothing has to be put in order.
_X264 = {"preset": "superfast", "crf": "23", "bf": "0", "g": "9999", "sc_threshold": "0", "forced-idr": "1"}

_MP4_VIDEO, _MP4_AUDIO = {"h264", "vp9", "av1"}, {"aac", "mp3", "opus", "flac"}
_WEBM_VIDEO, _WEBM_AUDIO = {"vp8", "vp9", "av1"}, {"opus", "vorbis"}
_FORMATS = {
    "asf": "Windows Media file",
    "avi": "AVI file",
    "flv": "Flash video file",
    "mpeg": "MPEG program stream",
    "mpegts": "MPEG transport stream",
    "ogg": "Ogg file",
}
_CODECS = {
    "ac3": "AC-3",
    "alac": "Apple Lossless",
    "dnxhd": "DNxHD",
    "eac3": "E-AC-3",
    "h264": "H.264",
    "hevc": "HEVC",
    "mjpeg": "Motion JPEG",
    "mp2": "MPEG layer 2",
    "mp3": "MP3",
    "mpeg1video": "MPEG-1",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4 Part 2",
    "prores": "ProRes",
    "vorbis": "Vorbis",
}
_SUBSAMPLINGS = {(2, 2): "4:4:4", (1, 2): "4:2:2", (1, 1): "4:2:0"}
_EBML, _SEGMENT, _DOCTYPE = b"\x1aE\xdf\xa3", b"\x18S\x80g", b"B\x82"
_HEAD = 4096  # bytes that an EBML header is within
_LATE_S = 0.1  # a clock that starts so late is off by some frames, and better than a copy that takes minutes
_LOOKED_AT = 600  # packets, which most files have two key frames in


def browser_problem(path: str | os.PathLike) -> str | None:
    """
    Returns why a browser (Chromium, Firefox, Safari) is not expected to play a file as it is, in a few words, or
    `None` where it can: H.264 of 8 bits, VP9 of 8 bits or AV1, all 4:2:0, in an MP4 or QuickTime file; VP8, VP9 or AV1
    in WebM; with no sound, or sound of a codec that goes there. Says nothing of damage. Where the times
    of frames are uneven, a browser that plays the file may show a neighbour of the right frame.

    Raises:
        VideoDecodeError: it cannot be opened, or has no video stream, or none of its frames can be decoded where one
            has to be looked at.
    """
    container, stream, start = open_video(str(path))
    with container:
        formats = set(container.format.name.split(","))
        if "mp4" in formats:
            problem = "recordings joined byte by byte" if _num_movies(path) > 1 else None
            video, audio = _MP4_VIDEO, _MP4_AUDIO
        elif "matroska" in formats:
            problem = _matroska_problem(path)
            video, audio = _WEBM_VIDEO, _WEBM_AUDIO
        else:
            name = next((_FORMATS[name] for name in formats if name in _FORMATS), None)
            return name or f"{container.format.long_name} file"
        problem = problem or _streams_problem(container, stream.index, video, audio)
        if problem is None and abs(start) > _LATE_S:
            problem = f"a clock that starts at {float(start):.1f} s, which browsers show as it is"
        if problem is None and "mp4" in formats and _is_mirrored(str(path)):
            problem = "mirrored picture, which some browsers do not mirror"
        if problem is None and stream.codec.canonical_name == "h264" and not _has_entries(container, stream):
            problem = "groups of pictures that need others, in which some browsers cannot seek"
        return problem


def _has_entries(container: InputContainer, stream: av.VideoStream) -> bool:
    """Whether all can be decoded from a key frame on, by the first packets of H.264."""
    extradata, key = stream.codec_context.extradata, None
    try:
        for packet in islice(container.demux(stream), _LOOKED_AT):
            if packet.is_keyframe:
                key = packet.pts
                if not is_intra(bytes(packet), extradata):  # its picture comes together over those after it
                    return False
            elif key is not None and packet.pts is not None and packet.pts < key:  # an open group
                return False
    except av.error.FFmpegError:  # damage, of which nothing is said here
        pass
    return True


def _is_mirrored(path: str) -> bool:
    try:
        return first_orientation(path).is_mirrored
    except ValueError:  # PyAV cannot tell
        return False


def _streams_problem(container: InputContainer, best: int, video: set[str], audio: set[str]) -> str | None:
    context = container.streams[best].codec_context
    codec = context.codec.canonical_name
    if codec not in video:
        return f"{_codec_name(codec)} video, which many browsers cannot play"
    pixels = context.format
    if pixels is None:
        return "pictures of an unknown kind"
    bits = max(component.bits for component in pixels.components)
    if bits > 8 and codec != "av1":
        return f"{bits} bits a colour"
    if _subsampling(pixels) != "4:2:0":
        return f"{_subsampling(pixels)} colours"
    if any(not _is_cover(stream) and stream.index != best for stream in container.streams.video):
        return "several pictures, of which browsers may show another"
    for stream in container.streams.audio:
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
        if codec not in audio:
            return f"{_codec_name(codec)} sound, which many browsers cannot play"
    return None


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _codec_name(codec: str) -> str:
    return "PCM" if codec.startswith("pcm_") else _CODECS.get(codec, codec.upper())


def _subsampling(pixels: VideoFormat) -> str:
    if pixels.is_rgb:
        return "RGB"
    return _SUBSAMPLINGS.get((pixels.chroma_width(2), pixels.chroma_height(2)), "unusual")


def _num_movies(path: str | os.PathLike) -> int:
    """Returns how many indices ("moov") a file in MP4 has at its top: each recording its own."""
    found, place, size = 0, 0, os.path.getsize(path)
    with Path(path).open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            head = file.read(16)
            found += head[4:8] == b"moov"
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # a longer one follows
                length = int.from_bytes(head[8:16], "big")
            if length < 8:  # to the end of the file, or no MP4 from here on
                break
            place += length
    return found


def _matroska_problem(path: str | os.PathLike) -> str | None:
    """Returns what is wrong with the container of a file in Matroska, of which WebM is a kind."""
    with Path(path).open("rb") as file:
        head = file.read(_HEAD)
        header_end = _element_end(head, len(_EBML))
        place = head.find(_DOCTYPE, 0, header_end)
        if not head.startswith(_EBML) or not header_end or place < 0:
            return "Matroska file"
        end = _element_end(head, place + len(_DOCTYPE)) or 0
        if head[place + 3 : end].rstrip(b"\0") != b"webm":
            return "Matroska file"
        return "recordings joined byte by byte" if _is_joined(file, head, header_end) else None


def _is_joined(file: BinaryIO, head: bytes, place: int) -> bool:
    """Whether another header follows the segment at `place`; one of unknown size is searched to the end."""
    if head[place : place + 4] != _SEGMENT:
        return False
    end = _element_end(head, place + 4)
    if end is not None:
        file.seek(end)
        return file.read(len(_EBML)) == _EBML
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = place
        while (at := content.find(_EBML, at + 1)) >= 0:
            if content.find(_DOCTYPE, at, at + 64) >= 0:  # no chance bytes of a picture
                return True
    return False


def _element_end(head: bytes, place: int) -> int | None:
    """Returns where an EBML element ends whose size is written at `place`; `None` where it does not say."""
    if place >= len(head) or not head[place]:
        return None
    length = 9 - head[place].bit_length()  # of the size itself, in bytes
    size = int.from_bytes(head[place : place + length], "big") & ((1 << 7 * length) - 1)
    return None if size == (1 << 7 * length) - 1 else place + length + size


def write_playable_copy(
    source: str | os.PathLike,
    target: str | os.PathLike,
    report: Callable[[float], None] = lambda share: None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """
    Writes an MP4 that every browser plays and seeks in quickly: H.264 of 8 bits, upright, with square pixels, at most
    720 lines, a key frame every half second, and the sound, if any, as AAC. At each second it shows the frame that
    [`decode_frames`] gives for that second of the source, smaller; a frame that cannot be decoded is replaced by the
    one before it. Sound that cannot be decoded is left out, and so is sound after the end of the picture. Takes the
    place of `target` once it is whole.

    Args:
        source: A video file.
        target: The file to write, of any name.
        report: Called with the share that is done, 0 to 1, at each frame; starts again once where the source turns
            out to be damaged.
        stopped: Asked at each frame whether to stop.

    Raises:
        InterruptedError: `stopped` said so; nothing is left.
        VideoDecodeError: the source cannot be decoded, or is not one video.
        OSError: the file cannot be written.
    """
    source, target = str(source), Path(target)
    with written_whole(target) as beside:
        try:
            try:
                _write(source, beside, report, stopped, careful=False)
            except DamagedVideoError:
                _write(source, beside, report, stopped, careful=True)
        except av.error.FFmpegError as error:  # of the copy; those of the source are caught where it is read
            if error.errno in errno.errorcode and error.errno != errno.EINVAL:
                raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
            raise VideoDecodeError(f"video {source} cannot be made playable ({error.strerror})") from error
        except ValueError as error:
            raise VideoDecodeError(f"video {source} cannot be made playable ({error})") from error
    report(1.0)


def _write(source: str, path: Path, report: Callable, stopped: Callable, careful: bool) -> None:
    decoder = PyAVDecoder(source, careful)
    try:
        length = _length(source)
        sound = _Sound(source)
        copy = None
        # Named so that the path is not taken for an address.
        with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
            for start, end, frame in decoder.read():
                if stopped():
                    raise InterruptedError(f"stopped before the copy of {source} was whole")
                if end is None:
                    end = start + decoder.length(frame)
                elif _tick(end) <= _tick(start):  # it is not seen
                    continue
                if copy is None:
                    start, copy = 0.0, _Picture(container, source, frame)
                    sound.open(container)
                sound.write_until(start)
                copy.write(_tick(start), max(_tick(end), _tick(start) + 1), frame)
                report(min(1.0, start / length) if length else 0.0)
            if copy is None:
                raise VideoDecodeError(f"video {source} has no frame that can be decoded; {GET_ANOTHER}")
            sound.write_until(end)
            sound.flush()
            copy.flush()
    finally:
        decoder.close()


def _tick(seconds: float) -> int:
    """Returns the last tick of the copy at or before a time; of a float just below a tick, that one."""
    return max(0, int(seconds * _TICKS + 1e-3))


def _length(source: str) -> float:
    """Returns how many seconds the picture of a video lasts, about."""
    container, stream, start = open_video(source)
    with container:
        # What joined recordings declare is of one of them.
        if container.duration is not None and is_listed(container.format.name):
            return container.duration / av.time_base
        starts = read_timetable(source).starts()
        return float(int(starts[-1]) * stream.time_base - start) if len(starts) else 0.0


class _Picture:
    """The picture of a copy, of a size that is chosen for `first`, a frame of the source."""

    def __init__(self, container: av.container.OutputContainer, source: str, first: av.VideoFrame):
        original, stream, _ = open_video(source)
        with original:
            aspect = stream.sample_aspect_ratio
        self._size = _size(first, aspect)
        self._container = container
        self._scale = VideoReformatter()
        # Each frame has its own time; the rate chooses the level, which declares how fast a player has to be.
        self._stream = container.add_stream("libx264", rate=30, options=_X264)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        context.thread_type, context.thread_count = "FRAME", 2
        picture = self._drawn(first)  # whose colours mean what they meant
        context.colorspace, context.color_range = picture.colorspace, picture.color_range
        context.color_trc, context.color_primaries = picture.color_trc, picture.color_primaries
        self._key: int | None = None  # tick of the last key frame
        self._lengths: dict[int, int] = {}  # of frames in the encoder, by their tick

    def write(self, start: int, end: int, frame: av.VideoFrame) -> None:
        """Writes a frame that is shown from a tick to another."""
        picture = self._drawn(frame)
        picture.pts, picture.time_base = start, Fraction(1, _TICKS)
        is_key = self._key is None or end - self._key > KEY_S * _TICKS  # the next would be too late
        picture.pict_type = PictureType.I if is_key else PictureType.NONE
        self._key = start if is_key else self._key
        self._lengths[start] = end - start
        self._mux(picture)

    def flush(self) -> None:
        self._mux(None)

    def _mux(self, picture: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            packet.duration = self._lengths.pop(packet.pts)
            self._container.mux(packet)

    def _drawn(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Returns a frame upright, in the size and pixels of the copy."""
        way = orientation(frame)
        width, height = self._size[::-1] if way.is_transposed else self._size
        # Other colours keep their matrix and range, and what says which these are.
        from_rgb = {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG}
        picture = self._scale.reformat(
            frame, width, height, "yuv420p", threads=1, **(from_rgb if frame.format.is_rgb else {})
        )
        if not any(way):
            return picture
        flat = picture.to_ndarray()
        parts = np.split(flat.reshape(-1), (width * height, width * height * 5 // 4))
        planes = [parts[0].reshape(height, width), *(part.reshape(height // 2, width // 2) for part in parts[1:])]
        upright = np.concatenate([turned(plane, way).reshape(-1) for plane in planes])
        found = av.VideoFrame.from_ndarray(upright.reshape(-1, self._size[0]), format="yuv420p")
        found.colorspace, found.color_range = picture.colorspace, picture.color_range
        found.color_trc, found.color_primaries = picture.color_trc, picture.color_primaries
        return found


def _size(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Returns width and height of a copy, even, for a frame whose pixels are `aspect` times as wide as high."""
    width, height = Fraction(frame.width), Fraction(frame.height)
    if aspect and Fraction(1, 8) <= aspect <= 8:  # any other is a mistake
        width, height = (width * aspect, height) if aspect > 1 else (width, height / aspect)
    if orientation(frame).is_transposed:
        width, height = height, width
    share = min(Fraction(1), MOST_LINES / height, MOST_COLUMNS / width)
    return tuple(max(2, 2 * round(side * share / 2)) for side in (width, height))


class _Sound:
    """The sound of a copy, if there is any."""

    def __init__(self, source: str):
        self._frames = _heard(source)
        self._next = next(self._frames, None)
        self._stream = None

    def open(self, container: av.container.OutputContainer) -> None:
        if self._next is not None:
            self._container = container
            self._stream = container.add_stream("aac", rate=_SAMPLES, layout=self._next.layout.name)

    def write_until(self, seconds: float) -> None:
        while self._next is not None and self._next.pts < seconds * _SAMPLES:
            self._container.mux(self._stream.encode(self._next))
            self._next = next(self._frames, None)

    def flush(self) -> None:
        self._frames.close()
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))


def _heard(source: str) -> Iterator[av.AudioFrame]:
    """Yields the sound from 0 s on without a gap, up to what cannot be read, as floats, in mono or stereo."""
    try:
        container, video, start = open_video(source)
        with container:
            audio = container.streams.best("audio")
            if audio is not None:
                yield from _without_gaps(_decoded(source, container, video, audio), start)
    except Exception as error:  # whatever is wrong with the sound, the picture can be seen
        logger.debug("video %s: its sound ends: %s", source, error)


def _decoded(
    source: str, container: InputContainer, video: av.VideoStream, audio: av.AudioStream
) -> Iterator[av.AudioFrame]:
    """Yields the sound that can be decoded, with the same rate, layout and kind of samples throughout."""
    kind = resampler = layout = None
    for packet in stamped_packets(source, container, [video, audio]):
        if packet.stream.index != audio.index:
            continue
        try:
            frames = packet.decode()
        except av.error.FFmpegError:  # damage, which is silent
            continue
        for frame in frames:
            layout = layout or ("mono" if frame.layout.nb_channels == 1 else "stereo")
            if kind != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
                resampler = AudioResampler("fltp", layout, _SAMPLES)
            yield from resampler.resample(frame)


def _without_gaps(frames: Iterator[av.AudioFrame], start: Fraction) -> Iterator[av.AudioFrame]:
    """Yields sound that begins at `start` s of its clock: silence where there is none, and none twice."""
    done = 0  # samples
    for frame in frames:
        samples = np.clip(np.nan_to_num(frame.to_ndarray()), -1, 1)
        place = done if frame.pts is None else round((frame.pts * frame.time_base - start) * _SAMPLES)
        if done and abs(place - done) < _GAP:
            place = done
        while done < place:
            silence = np.zeros((len(samples), min(_SAMPLES, place - done)), np.float32)
            yield _audio_frame(silence, frame.layout.name, done)
            done += silence.shape[1]
        samples = samples[:, done - place :]
        if samples.size:
            yield _audio_frame(samples, frame.layout.name, done)
            done += samples.shape[1]


def _audio_frame(samples: np.ndarray, layout: str, place: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = _SAMPLES, place, Fraction(1, _SAMPLES)
    return frame
