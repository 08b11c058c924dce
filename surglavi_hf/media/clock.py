# SPDX-License-Identifier: Apache-2.0
"""One clock for all of a video file, where that of the file starts again or leaps."""

import av
from av.container import InputContainer
from av.format import Flags
from av.stream import Stream

from .errors import VideoDecodeError

LEAP_S = 10.0  # a longer step ahead is another recording's clock, as for FFmpeg's command; a shorter one is a gap
BACK_S = 0.1  # by so much, not at a key frame, demuxers err that work out times, as FFmpeg's command supposes
DELAY_S = 60.0  # the most from a frame's decoding to its showing in an MPEG stream
LISTED_BACK_S = 1.0  # by less, frames that are wrongly called key frames are reordered
FEW_PACKETS = 32  # a recording has more


class Clock:
    """
    The times of the packets of a stream, read from the start of the file in its order. Where recordings were joined
    in a format that has no table of frames (MPEG streams, FLV), the next one begins where the last frame of the one
    before ends.

    Args:
        path: Of the file, for errors.
        container: The file.
        stream: One of its streams.
    """

    def __init__(self, path: str, container: InputContainer, stream: Stream):
        self.path = path
        self.breaks: list[int] = []  # when recordings after the first start, on this clock, in ticks
        self.leaps = any(flag.value & container.format.flags and flag.name == "ts_discont" for flag in Flags)
        self._index, self._tick, self._origin = stream.index, float(stream.time_base), stream.start_time or 0
        self._is_video = stream.type == "video"
        self._is_listed = is_listed(container.format.name)
        self._is_fixed = self._is_listed and (not self._is_video or stream.frames > 0)  # a table of all frames ascends
        rate = stream.average_rate if self._is_video else None
        self._length = self._ticks(1 / rate) if rate else 0
        self._shift = self._first = 0
        self._end: int | None = None  # of what was read, on this clock
        self._last: int | None = None  # dts before, as the file says
        self._heard = 0.0  # seconds of sound
        self._former: int | None = None  # dts that the recording before ended with, as the file says
        self._count = 0  # packets since

    def stamp(self, packet: av.Packet) -> bool:
        """
        Puts a packet of the stream on this clock. Sound of other streams tells a gap from a clock that leaps.

        Returns:
            Whether it is to be shown: not what is predicted from frames that were cut off where recordings were
            joined.

        Raises:
            VideoDecodeError: its time is that of no recording, or another's where one clock is all the format has.
        """
        if packet.stream.index != self._index:
            if packet.duration and packet.stream.type == "audio":
                self._heard += float(packet.duration * packet.stream.time_base)
            return False
        pts, dts = packet_pts(packet), packet.dts
        if pts is None:
            return False
        if self._end is not None and not self._is_fixed:
            self._compare(pts, dts, packet.is_keyframe)
        if dts is not None:
            self._last = dts
        self._count += 1
        if self._shift:
            packet.pts, packet.dts = pts + self._shift, None if dts is None else dts + self._shift
        self._length = packet.duration or self._length
        shown = pts + self._shift
        if self._end is None:
            self._first = self._end = shown
        self._end = max(self._end, shown + self._length)
        return not self.breaks or shown >= self.breaks[-1]

    def _compare(self, pts: int, dts: int | None, is_key: bool) -> None:
        """Counts on from here where another recording starts."""
        newest = self._end - self._length - self._shift
        is_key = is_key and self._is_video  # before which no frame is shown that comes after it
        if self._is_listed:
            if is_key and pts < newest - self._ticks(LISTED_BACK_S):
                raise self._refusal(f"goes back to {self._seconds(pts)} s")
            return
        if dts is None or self._last is None:
            return
        if abs(pts - dts) > self._ticks(DELAY_S):
            raise self._refusal(f"leaps to {self._seconds(pts)} s for a frame")
        step = dts - self._last
        back = step < -self._ticks(BACK_S) or (is_key and (pts < newest or step <= 0))
        if self._former is not None and self._count < FEW_PACKETS and abs(step - self._length) > self._ticks(BACK_S):
            since = dts - self._former
            if 0 < since <= self._ticks(BACK_S) + (self._count + 1) * self._length:
                raise self._refusal(f"leaps to {self._seconds(self._last)} s for {self._count} frames")
        unseen = max(0.0, self._heard - (self._end - self._first) * self._tick)  # seconds of sound without a picture
        if not back and not (self.leaps and step > self._length + self._ticks(LEAP_S + unseen)):
            return
        self._former, self._count = self._last, 0
        self._shift = self._end - pts if is_key else self._shift + self._last + self._length - dts
        self.breaks.append(pts + self._shift)

    def _ticks(self, seconds: float) -> int:
        return round(float(seconds) / self._tick)

    def _seconds(self, ticks: int) -> str:
        return f"{(ticks - self._origin) * self._tick:.2f}"

    def _refusal(self, what: str) -> VideoDecodeError:
        return VideoDecodeError(
            f"video {self.path}: its clock {what} after {self._seconds(self._end)} s, expected times that ascend; "
            "cut it there into videos of their own"
        )


def is_listed(format_name: str) -> bool:
    """Whether a format has a table of frames, or of key frames, and so one clock for the whole file."""
    return not {"mp4", "matroska", "avi"}.isdisjoint(format_name.split(","))


def packet_pts(packet: av.Packet) -> int | None:
    """Returns when the frame of a packet is shown, in ticks: when it is decoded where nothing else is said."""
    return packet.dts if packet.pts is None else packet.pts
