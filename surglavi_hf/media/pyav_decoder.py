# SPDX-License-Identifier: Apache-2.0
"""Frames of a video by PyAV: only those asked for are decoded, and those they are predicted from."""

import logging
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.frame import PictureType

from .clock import Clock, is_listed, packet_pts
from .container import LAST_TIME_S, decoding_threads, open_video
from .errors import END_TOLERANCE_S, GET_ANOTHER, DamagedVideoError, VideoDecodeError, check_end
from .frame_arrays import resized, to_rgb
from .timetable import read_timetable

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

SEEK_AHEAD_S = 5.0  # where the container has no index, decoding on within this distance costs less than a seek
MOST_REORDERED = 32  # packets; codecs store a frame at most 16 before it is shown
_ENTRIES = 4  # how many are tried, should the demuxer see other packets there than from the start
_MARGINS_S = (0.0, 2.0, 20.0)  # how much before the asked time to seek, should the key frame there be later than it


class _NoEntryError(VideoDecodeError):
    """Frames decoded from a key frame on would be others than those decoded from the start."""


class PyAVDecoder:
    """
    The best video stream of a file.

    Times are seconds from the start of the file, as players count them: where the sound starts before the picture,
    from the start of the sound.

    Args:
        path: A video file.
        careful: Decode every frame on the way and bear with those that cannot be decoded, as a damaged file needs;
            what stands in for damaged pictures is what PyAV gives by default.

    Raises:
        VideoDecodeError: it cannot be opened, or has no video stream.
    """

    def __init__(self, path: str, careful: bool = False):
        self.path = path
        self.careful = careful
        self._sure = True  # that what is decoded from a key frame on is as from the start
        self._open()

    def _open(self) -> None:
        self._container, self._stream, self._start = open_video(self.path)
        self._time_base = self._stream.time_base
        if not self.careful:
            context = self._stream.codec_context
            context.thread_type, context.thread_count = "AUTO", decoding_threads()
        self._untimed = self._container.format.name == "avi"  # which says when packets are decoded, not when shown
        self._table = None if is_listed(self._container.format.name) else read_timetable(self.path)
        self._checked = False  # that the index ascends
        self._delay = 0  # by how much a frame is shown after its dts, at most, in ticks
        self._read_from(None, 0)

    def close(self) -> None:
        self._container.close()

    def decode(self, times: np.ndarray) -> "torch.Tensor":
        """
        Returns the frames on screen at `times`, `torch.uint8` of shape `(len(times), 3, height, width)`.

        Raises:
            as [`pictures`].
        """
        import torch  # which pictures alone do not need

        return torch.from_numpy(self.pictures(times)).permute(0, 3, 1, 2)

    def pictures(self, times: np.ndarray) -> np.ndarray:
        """
        Returns the frames on screen at `times` (s), `np.uint8` of shape `(len(times), height, width, 3)`.

        Raises:
            PastEndError: a time is over 1 s past the end.
            DamagedVideoError: a frame on the way cannot be decoded; only where not `careful`.
            VideoDecodeError: nothing can be decoded there.
        """
        asked = np.unique(times).tolist()
        images: list[np.ndarray] = []
        while len(images) < len(asked):
            images += self._run(asked[len(images) :])
        frames = np.empty((len(times), *images[0].shape), np.uint8)
        for index, row in enumerate(np.searchsorted(asked, times)):
            frames[index] = resized(images[row], images[0].shape)
        return frames

    def _run(self, asked: list[float]) -> list[np.ndarray]:
        """Returns the pictures at the first of the times, one or more, in one run from a key frame."""
        try:
            return self._run_from((asked[0], 0.0), asked)
        except _NoEntryError:
            self._sure = False
            return self._run_from((0.0,), asked)

    def _run_from(self, begins: tuple[float, ...], asked: list[float]) -> list[np.ndarray]:
        for begin in begins:
            self._seek(begin)
            images: list[np.ndarray] = []
            last = None
            for start, end, frame in self.read(None if self.careful else partial(_any_within, asked)):
                if asked[len(images)] < start:  # what is on screen then did not come out of the decoder
                    if last is None:
                        break
                    images += self._stand_ins(last, asked[len(images) : bisect_left(asked, start)])
                if end is None:
                    end = start + self.length(frame)
                    check_end(self.path, asked[-1], end)
                    shown = len(asked)
                else:
                    shown = bisect_left(asked, end)
                if shown > len(images):
                    images += [to_rgb(frame)] * (shown - len(images))
                if shown == len(asked) or (images and self._seek_pays(asked[shown])):
                    return images
                last = end, frame
            if not self.careful:
                raise self._damaged("a frame")
            if last is not None:
                check_end(self.path, asked[-1], self._time(self._starts[-1]) + self.length(last[1]))
                return images + self._stand_ins(last, asked[len(images) :])
        raise VideoDecodeError(
            f"video {self.path} has no frame that can be decoded up to {asked[0]:.3f} s; {GET_ANOTHER}"
        )

    def _stand_ins(self, last: tuple[float, av.VideoFrame], times: list[float]) -> list[np.ndarray]:
        """Returns the picture of the last frame that can be decoded, for times where the one on screen cannot."""
        end, frame = last
        if not self.careful:
            raise self._damaged(f"the frame at {times[0]:.3f} s")
        if times and times[-1] > end + END_TOLERANCE_S:
            raise VideoDecodeError(
                f"video {self.path} is damaged from {end:.3f} s on, but its frame at {times[-1]:.3f} s was asked for; "
                f"{GET_ANOTHER}"
            )
        for time in times:
            logger.warning(
                "video %s: its frame at %.3f s cannot be decoded; taking the one before it", self.path, time
            )
        return [to_rgb(frame)] * len(times)

    def _damaged(self, what: str) -> DamagedVideoError:
        return DamagedVideoError(f"video {self.path} is damaged: {what} cannot be decoded; {GET_ANOTHER}")

    def read(
        self, wanted: Callable[[float, float | None], bool] | None = None
    ) -> Iterator[tuple[float, float | None, av.VideoFrame]]:
        """
        Yields from where the last seek led, or the start: of each frame, or each for which `wanted(start, end)`, the
        second it starts, the second the next one does (`None` for the last) and the frame. The first frame of a video
        starts at 0 at the latest. Where `careful`, frames that cannot be decoded are left out.

        Raises:
            DamagedVideoError: a frame cannot be decoded; only where not `careful`.
        """
        if self._untimed:
            yield from self._read_untimed(wanted)
            return
        spans: dict[int, tuple[float, float | None]] = {}  # of wanted frames in the decoder, by pts
        context = self._stream.codec_context
        while self._read_ahead():
            packet = self._queue.popleft()
            span = self._span(packet)
            chosen = span is not None and (wanted is None or wanted(*span))
            if chosen:
                spans[packet_pts(packet)] = span
            if not self.careful:  # a frame that is not asked for is decoded only where others are predicted from it
                context.skip_frame = "DEFAULT" if chosen or packet.pts is None else "NONREF"
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                if not self.careful:
                    raise self._damaged("a frame") from error
                continue
            for frame in frames:
                self._check_entry(frame)
                if frame.pts in spans:
                    yield *spans.pop(frame.pts), frame

    def _check_entry(self, frame: av.VideoFrame) -> None:
        """After a seek: the first frame to come out has to be the key frame, and predicted from no other."""
        if self._first is None or self._entered or frame.pts is None or frame.pts < self._first:
            return
        self._entered = True
        if frame.pts != self._first or frame.pict_type in (PictureType.P, PictureType.B):
            raise _NoEntryError(f"video {self.path} cannot be read from its middle")

    def _read_untimed(
        self, wanted: Callable[[float, float | None], bool] | None
    ) -> Iterator[tuple[float, float | None, av.VideoFrame]]:
        """As [`read`], from the start: frames come out in the order they are shown in, at the times of the packets."""
        times: deque[int] = deque()
        frames: deque[av.VideoFrame] = deque()
        packets = self._container.demux(self._stream)
        first, ended = True, False
        while not ended:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:  # the file is cut short or damaged here
                packet = None
            ended = packet is None
            if packet is not None and packet.dts is not None:
                insort(self._starts, packet.dts)
                times.append(packet.dts)
            try:
                frames.extend(packet.decode() if packet is not None else ())
            except av.error.FFmpegError as error:
                if not self.careful:
                    raise self._damaged("a frame") from error
            while frames and times and (len(times) > 1 or ended):
                start = self._time(times.popleft())
                start, first = min(start, 0.0) if first else start, False
                end, frame = self._time(times[0]) if times and frames else None, frames.popleft()
                if wanted is None or wanted(start, end):
                    yield start, end, frame

    def _read_from(self, first: int | None, number: int) -> None:
        """
        Forgets what was read; frames before `first`, in ticks, are predicted from some that will not be. `number` is
        that of the next packet, where there is a timetable.
        """
        self._packets = self._container.demux(self._stream)
        self._clock = Clock(self.path, self._container, self._stream)
        self._number = number
        self._entered = False
        self._queue: deque[av.Packet] = deque()  # read, not decoded
        self._starts: list[int] = []  # of the frames read, ascending, in ticks
        self._first = first
        self._last_dts: int | None = None
        self._ended = False

    def _read_packet(self) -> None:
        try:
            packet = next(self._packets, None)
        except av.error.FFmpegError as error:  # the file is cut short or damaged here
            logger.debug("video %s: %s", self.path, error)
            packet = None
        if packet is None:
            self._ended = True
            return
        self._queue.append(packet)
        shown = self._stamp(packet) if self._table else self._clock.stamp(packet)
        pts = packet_pts(packet)
        if pts is not None:
            if packet.dts is not None:
                self._last_dts = packet.dts
                self._delay = max(self._delay, pts - packet.dts)
            if shown and not packet.is_discard and (self._first is None or pts >= self._first):
                insort(self._starts, pts)

    def _stamp(self, packet: av.Packet) -> bool:
        """Gives a packet the times of the timetable; returns whether it is to be shown."""
        if not packet.size:  # the end
            return False
        if self._number >= len(self._table.sizes) or packet.size != self._table.sizes[self._number]:
            # The demuxer cuts the stream otherwise from here than from the start.
            raise _NoEntryError(f"video {self.path} changed while it was read; read it again")
        packet.pts, packet.dts = self._table.times(self._number)
        self._number += 1
        return bool(self._table.shown[self._number - 1])

    def _read_ahead(self) -> bool:
        """Reads until it is known when the frame of the next packet ends; False where there are no more packets."""
        while not self._ended:
            if self._queue:
                pts = packet_pts(self._queue[0])
                after = 0 if pts is None else bisect_right(self._starts, pts)
                following = self._starts[after] if after < len(self._starts) else None
                # No later packet starts before its dts, which only grow. Some have none.
                settled = self._last_dts is not None and following is not None and following <= self._last_dts
                if pts is None or settled or len(self._queue) > MOST_REORDERED:
                    break
            self._read_packet()
        return bool(self._queue)

    def _span(self, packet: av.Packet) -> tuple[float, float | None] | None:
        """Returns when the frame of a packet starts and when the next does; `None` where it is none to be shown."""
        pts = packet_pts(packet)
        if pts is None:
            return None
        after = bisect_right(self._starts, pts)
        if after == 0 or self._starts[after - 1] != pts:
            return None
        start = self._time(pts)
        if after == 1 and self._first is None:
            start = min(start, 0.0)
        return start, self._time(self._starts[after]) if after < len(self._starts) else None

    def _time(self, pts: int) -> float:
        """Returns the seconds of a timestamp: the float nearest to the fraction, as PyAV's `frame.time`."""
        numerator = pts * self._time_base.numerator * self._start.denominator
        numerator -= self._start.numerator * self._time_base.denominator
        return numerator / (self._time_base.denominator * self._start.denominator)

    def _seek_point(self, time: float) -> int:
        """Returns, in ticks, what to seek to: indices are in dts."""
        return int((Fraction(min(time, LAST_TIME_S)) + self._start) / self._time_base) - self._delay

    def _seek(self, time: float) -> None:
        """Goes to a key frame at or before `time`, the last if that can be, or to the start."""
        seek = self._seek_place if self._table else self._seek_time
        if not self._sure or self._untimed or time <= 0 or not seek(time):
            self.close()
            self._open()

    def _seek_time(self, time: float) -> bool:
        """Goes by times, which are the same wherever such a file is read from."""
        for margin in _MARGINS_S:
            if time <= margin:
                break
            try:
                self._container.seek(self._seek_point(time - margin), stream=self._stream)
            except av.error.FFmpegError:  # the container cannot be sought in
                break
            self._check_index()
            self._read_from(None, 0)
            while not self._queue and not self._ended:
                self._read_packet()
            first = packet_pts(self._queue[0]) if self._queue else None
            if first is not None and self._time(first) <= time:
                self._first = first
                return True
        return False

    def _check_index(self) -> None:
        """Raises VideoDecodeError where key frames that come later in the file are earlier on its clock."""
        if self._checked or self._stream.frames:  # a table of all frames ascends
            return
        self._checked = True
        entries = [(entry.timestamp, entry.pos) for entry in self._stream.index_entries]
        for before, after in pairwise(entries):
            if after[0] < before[0] or after[1] < before[1]:
                raise VideoDecodeError(
                    f"video {self.path}: its clock goes back, by its index of key frames, near "
                    f"{self._time(after[0]):.2f} s, expected times that ascend; cut it there into videos of their own"
                )

    def _seek_place(self, time: float) -> bool:
        """Goes by bytes, where times depend on what was read before; then they are those of the timetable."""
        table = self._table
        last = table.entry(self._seek_point(time))
        for entry in range(last, max(last - _ENTRIES, 0), -1):
            number = int(table.entries[entry])
            try:
                self._container.seek(int(table.places[entry]), stream=self._stream, unsupported_byte_offset=True)
                self._read_from(int(table.pts[number]), number)
                while not self._queue and not self._ended:
                    self._read_packet()
            except (av.error.FFmpegError, _NoEntryError):
                continue
            return True
        return False

    def _seek_pays(self, time: float) -> bool:
        """Whether a key frame lies between what was read and `time`."""
        if self._untimed or not self._sure:
            return False
        if self._table:
            entry = self._table.entry(self._seek_point(time))
            return entry >= 0 and self._table.pts[self._table.entries[entry]] > self._starts[-1]
        entries = self._stream.index_entries
        entry = entries.search_timestamp(self._seek_point(time))
        if entry >= 0:
            return entries[entry].timestamp > self._starts[-1]
        return time > self._time(self._starts[-1]) + SEEK_AHEAD_S

    def length(self, frame: av.VideoFrame) -> float:
        """Returns how many seconds the last frame is shown: what the container says, or as long as the average."""
        if frame.duration:
            return float(frame.duration * self._time_base)
        return float(1 / self._stream.average_rate) if self._stream.average_rate else 0.0


def _any_within(times: list[float], start: float, end: float | None) -> bool:
    index = bisect_left(times, start)
    return index < len(times) and (end is None or times[index] < end)
