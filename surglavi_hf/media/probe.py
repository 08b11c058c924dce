# SPDX-License-Identifier: Apache-2.0
"""Whether a downloaded file is the whole video."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from .clock import is_listed, packet_pts
from .container import Header, open_video, read_header
from .errors import VideoDecodeError
from .pyav_decoder import PyAVDecoder
from .timetable import read_timetable, stamped_packets

DURATION_TOLERANCE_S, DURATION_TOLERANCE = 2.0, 0.01


def probe_video(path: Path, duration: float | None) -> Header:
    """
    Reads a video to its end, decodes its start, middle and end, and compares its duration.

    Args:
        path: The file.
        duration: That it should have, in seconds, if it is known.

    Returns:
        What it declares; of joined recordings the duration of all.

    Raises:
        VideoDecodeError: it has not one clock, it ends before the duration it declares, a frame there cannot be
            decoded, or its duration is over 2 s and over 1 % away.
    """
    header = read_header(str(path))
    last_start, end, whole, num_joined = _read_to_the_end(path)
    if num_joined:  # what it declares is of one of the recordings
        header = replace(header, duration=end)
    if not whole or (header.duration and end < header.duration - _tolerance(header.duration)):
        raise VideoDecodeError(f"it ends at {end:.1f} s, cut short; it declares {header.duration or 0:.1f} s")
    found = header.duration or end
    if duration and abs(found - duration) > _tolerance(duration):
        raise VideoDecodeError(
            f"it lasts {found:.1f} s, expected {duration:.1f} s within {_tolerance(duration):.1f} s; see whether the "
            "database means another cut"
        )
    decoder = PyAVDecoder(str(path))  # which bears with no damage
    try:
        decoder.decode(np.array([0.0, last_start / 2, last_start]))
    except av.error.FFmpegError as error:
        raise VideoDecodeError(f"it cannot be decoded ({error.strerror})") from error
    finally:
        decoder.close()
    return header


def _tolerance(duration: float) -> float:
    return max(DURATION_TOLERANCE_S, DURATION_TOLERANCE * duration)


def _read_to_the_end(path: Path) -> tuple[float, float, bool, int]:
    """
    Returns the second that the last picture starts at, the second that the last of picture and sound ends at, whether
    all packets of the picture are there that the index lists, and are whole, and how many recordings were joined to
    the first.
    """
    container, video, start = open_video(str(path))
    with container:
        listed, num_packets, num_corrupt, last_start, end, whole = len(video.index_entries), 0, 0, 0.0, 0.0, True
        try:
            for packet in stamped_packets(str(path), container, [video, *container.streams.audio]):
                if packet_pts(packet) is None:
                    continue
                begin = float(packet_pts(packet) * packet.stream.time_base - start)
                end = max(end, begin + float((packet.duration or 0) * packet.stream.time_base))
                if packet.stream.index == video.index:
                    num_packets += 1
                    num_corrupt += packet.is_corrupt
                    last_start = max(last_start, begin)
        except av.error.FFmpegError:
            whole = False
        num_joined = 0 if is_listed(container.format.name) else len(read_timetable(str(path)).breaks)
        # A packet is called corrupt where the counters of two recordings do not meet.
        whole = whole and num_corrupt <= num_joined
        # Other containers index their key frames alone.
        whole = whole and (num_packets >= listed or "mp4" not in container.format.name.split(","))
        return last_start, end, whole, num_joined
