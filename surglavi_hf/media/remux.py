# SPDX-License-Identifier: Apache-2.0
"""Any container made the one MP4 that a library keeps."""

import os
from collections.abc import Iterator
from pathlib import Path

import av

from .clock import packet_pts
from .container import open_video
from .errors import DISK_ERRORS, VideoDecodeError
from .timetable import stamped_packets


class RemuxError(ValueError):
    """Streams that cannot be put into an MP4."""


def to_mp4(path: Path, audio: bool) -> Path:
    """
    Returns an MP4 of the best video stream of a file, and of its best audio stream if asked for: the file itself where
    it is that, otherwise one written beside it, without encoding anything anew.

    Raises:
        RemuxError: the streams cannot be put into an MP4.
        OSError: it cannot be written.
        VideoDecodeError: the file cannot be opened, or has not one clock.
    """
    source, video, start = open_video(str(path))
    with source:
        streams = [video, *([source.streams.best("audio")] if audio and source.streams.audio else [])]
        if "mp4" in source.format.name.split(",") and len(source.streams) == len(streams):
            return path
        if source.format.name == "avi":
            raise RemuxError("AVI does not say when frames are shown, which an MP4 has to")
        target = path.with_name(f"{path.name}.remuxed.mp4")
        try:
            with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
                copies = {stream.index: container.add_stream_from_template(stream) for stream in streams}
                for packet in _timed(stamped_packets(str(path), source, streams), video.index):
                    if packet.stream.index == video.index and video.average_rate:  # without any, the last is not shown
                        packet.duration = packet.duration or round(1 / (video.average_rate * packet.time_base))
                    first = round(start / packet.time_base)  # times far from 0 do not fit into an MP4
                    packet.pts, packet.dts = packet_pts(packet) - first, packet.dts - first
                    packet.stream = copies[packet.stream.index]
                    container.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            target.unlink(missing_ok=True)
            if getattr(error, "errno", None) in DISK_ERRORS:
                raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
            raise RemuxError(f"its streams cannot be put into an MP4 ({error})") from error
        except VideoDecodeError:
            target.unlink(missing_ok=True)
            raise
    return target


def _timed(packets: Iterator[av.Packet], video: int) -> Iterator[av.Packet]:
    """
    Yields the packets with their dts. Matroska tells none, and FFmpeg works it out only once it has seen some frames
    reordered; those before it are put as far before as the first two frames are apart.
    """
    untimed: list[av.Packet] = []
    for packet in packets:
        if packet.stream.index != video:
            if packet.dts is not None:
                yield packet
        elif packet.dts is None and packet.pts is not None:
            untimed.append(packet)
        elif packet.dts is not None:
            starts = sorted(one.pts for one in (*untimed, packet) if one.pts is not None)
            step = max(1, starts[1] - starts[0]) if len(starts) > 1 else 1
            for number, earlier in enumerate(reversed(untimed), 1):
                earlier.dts = packet.dts - number * step
            yield from untimed
            untimed = []
            yield packet
    for packet in untimed:  # nothing is reordered in such a stream
        packet.dts = packet.pts
        yield packet
