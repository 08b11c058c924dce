# SPDX-License-Identifier: Apache-2.0
"""All packets of a video, with the times at which their frames are shown."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from .clock import Clock, is_listed, packet_pts
from .container import open_video
from .errors import VideoDecodeError

_UNKNOWN = np.iinfo(np.int64).min
_MIXED_FRAMES = 8  # how many the ends of the mixed times may be off
_TABLES = 16  # of a few megabytes each for an hour


@dataclass(frozen=True)
class Timetable:
    """
    What is known of a video once all its packets were read, without decoding any.

    Args:
        pts: When the frame of each packet is shown on one clock, `int64` in ticks, in the order of the file; see
            [`Clock`].
        dts: When it is decoded: such that no frame is shown before.
        sizes: Of each packet in bytes.
        shown: Whether what a packet holds is shown.
        entries: Which packets are key frames that start at a known byte, ascending.
        places: Their bytes.
        breaks: The seconds at which recordings start that were joined to the first.
        leading: Whether frames are shown before the key frame they follow in the file.
        refreshed: Whether a key frame is none: its picture comes together over the frames after it.
    """

    pts: np.ndarray
    dts: np.ndarray
    sizes: np.ndarray
    shown: np.ndarray
    entries: np.ndarray
    places: np.ndarray
    breaks: tuple[float, ...]
    leading: bool
    refreshed: bool

    def times(self, number: int) -> tuple[int | None, int | None]:
        """Returns pts and dts of a packet."""
        return tuple(None if ticks[number] == _UNKNOWN else int(ticks[number]) for ticks in (self.pts, self.dts))

    def starts(self) -> np.ndarray:
        """Returns when frames are shown, in ticks, ascending."""
        return np.sort(self.pts[self.shown])

    def entry(self, ticks: int) -> int:
        """Returns which of the entries is the last at or before a time; -1 where there is none."""
        return int(np.searchsorted(self.pts[self.entries], ticks, side="right")) - 1


def read_timetable(path: str) -> Timetable:
    """
    Reads all packets of a video; kept while the file is the same.

    Raises:
        VideoDecodeError: it cannot be opened, or has times that are no recording's.
    """
    status = os.stat(path)
    return _read(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(_TABLES)
def _read(path: str, state: tuple) -> Timetable:
    container, stream, start = open_video(path)
    rows: list[tuple] = []
    kinds: list[int] = []
    leading = refreshed = False
    key_pts = None
    with container:
        clock = Clock(path, container, stream)
        codec, extradata = stream.codec.canonical_name, stream.codec_context.extradata
        for packet in packets_of(container, stream, clock):
            shown = clock.stamp(packet) and not packet.is_discard
            if packet.stream.index != stream.index or not packet.size:
                continue
            pts = packet_pts(packet)
            if packet.is_keyframe and shown:
                refreshed = refreshed or (codec == "h264" and not is_intra(bytes(packet), extradata))
                key_pts = pts
            leading = leading or (pts is not None and key_pts is not None and pts < key_pts)
            place = -1 if packet.pos is None or not (packet.is_keyframe and shown) else packet.pos
            rows.append((_UNKNOWN if pts is None else pts, packet.size, shown, place))
            if codec in ("mpeg1video", "mpeg2video"):
                kinds.append(_picture_kind(bytes(packet)))
        breaks = tuple(float(ticks * stream.time_base - start) for ticks in clock.breaks)
        length = 1 / (stream.average_rate * stream.time_base) if stream.average_rate else None
    pts, sizes, shown, places = np.array(rows, np.int64).reshape(-1, 4).T
    if kinds:
        ranks = _display_ranks(kinds)
        if (np.diff(pts[np.argsort(ranks)]) <= 0).any():
            pts = _paced(path, pts, ranks, length)
    unknown = np.nonzero(pts[np.argmax(pts != _UNKNOWN) :] == _UNKNOWN)[0]
    if (np.diff(unknown) == 1).any():  # of two fields of a frame, the second needs no time
        raise VideoDecodeError(
            f"video {path} gives {len(unknown)} of {len(pts)} frames no time; convert it with ffmpeg to an MP4"
        )
    (entries,) = np.nonzero(places >= 0)
    shown = shown.astype(bool)
    dts = np.full_like(pts, _UNKNOWN)
    dts[shown] = _decoding_times(pts[shown])
    return Timetable(pts, dts, sizes, shown, entries, places[entries], breaks, leading, refreshed)


def _decoding_times(pts: np.ndarray) -> np.ndarray:
    """Returns the times of the frames in their own order, so many frames earlier that none is decoded too late."""
    starts = np.sort(pts)
    delay = int((np.arange(len(pts)) - np.searchsorted(starts, pts)).max(initial=0))
    step = int(starts[1] - starts[0]) if len(starts) > 1 else 1
    before = starts[:1] - step * np.arange(delay, 0, -1)
    return np.concatenate([before, starts])[: len(pts)]


def stamped_packets(path: str, container: InputContainer, streams: list[Stream]) -> Iterator[av.Packet]:
    """
    Yields the packets of the best video stream of a file, which is the first of `streams`, and of others, on one
    clock. Raises VideoDecodeError where there is none.
    """
    video = streams[0]
    clocks = {stream.index: Clock(path, container, stream) for stream in streams}
    table = None if is_listed(container.format.name) else read_timetable(path)
    number = 0
    for packet in container.demux(*streams):
        if packet.stream.index == video.index and packet.size and table:
            shown = bool(table.shown[number])
            packet.pts, packet.dts = table.times(number)
            number += 1
            if not shown:
                continue
        elif packet.stream.index == video.index or (table and table.breaks):
            clocks[packet.stream.index].stamp(packet)
        yield packet


def packets_of(container: InputContainer, stream: VideoStream, clock: Clock) -> Iterator[av.Packet]:
    """Yields the packets of a stream, and the sound that a clock needs, up to a cut or damage of the file."""
    packets = container.demux(stream, *(container.streams.audio[:1] if clock.leaps else ()))
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        yield packet


def _picture_kind(packet: bytes) -> int:
    """Returns how the picture of an MPEG-1 or -2 packet is predicted: 1 from none, 2 from the past, 3 from both."""
    at = packet.find(b"\0\0\1\0") + 5
    return packet[at] >> 3 & 7 if 5 <= at < len(packet) else 0


def _display_ranks(kinds: list[int]) -> np.ndarray:
    """Returns the order in which MPEG-1 or MPEG-2 pictures of these kinds are shown."""
    ranks = np.empty(len(kinds), np.int64)
    rank, held = 0, None  # a picture that is not predicted from the future is shown once the next such comes
    for number, kind in enumerate(kinds):
        at = number if kind == 3 else held
        held = held if kind == 3 else number
        if at is not None:
            ranks[at], rank = rank, rank + 1
    if held is not None:
        ranks[held] = rank
    return ranks


def _paced(path: str, pts: np.ndarray, ranks: np.ndarray, length: Fraction | None) -> np.ndarray:
    """
    Returns times one `length` after the other, for frames whose times the demuxer mixed up: it does where the header
    of one lies across packets of the stream.

    Raises:
        VideoDecodeError: the times are not of that rate.
    """
    known = pts[pts != _UNKNOWN]
    if not length or abs((known.max() - known.min()) / length - (len(pts) - 1)) > _MIXED_FRAMES:
        raise VideoDecodeError(
            f"video {path} gives several frames one time, and its rate gives none; convert it with ffmpeg to an MP4"
        )
    return np.array([int(known.min()) + round(int(rank) * length) for rank in ranks], np.int64)


def is_intra(packet: bytes, extradata: bytes | None) -> bool:
    """Whether the picture of an H.264 packet is predicted from no other, by the type of its first slice."""
    at = 0
    while at < len(packet):
        if extradata and extradata[0] == 1:  # each unit after its length
            at += (extradata[4] & 3) + 1
            unit, length = packet[at : at + 4], int.from_bytes(packet[at - (extradata[4] & 3) - 1 : at], "big")
        else:  # each unit after 0 0 1
            at = packet.find(b"\0\0\1", at) + 3
            unit, length = packet[at : at + 4] if at > 2 else b"", 1
        if not unit:
            return True
        if unit[0] & 31 in (1, 2, 5):
            bits = f"{int.from_bytes(unit[1:4], 'big'):024b}"
            _, bits = _exp_golomb(bits)  # where the slice begins
            kind, _ = _exp_golomb(bits)
            return kind % 5 in (2, 4)
        at += length
    return True


def _exp_golomb(bits: str) -> tuple[int, str]:
    zeros = len(bits) - len(bits.lstrip("0"))
    end = 2 * zeros + 1
    return int(bits[zeros:end] or "1", 2) - 1, bits[end:]
