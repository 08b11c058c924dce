# SPDX-License-Identifier: Apache-2.0
"""Whether a downloaded file is the whole video, and making it the one MP4 that the library keeps."""

from collections.abc import Iterator
from pathlib import Path

import av

from .container import Header, open_video, read_header
from .decode import decode_frames
from .errors import VideoDecodeError

DURATION_TOLERANCE_S, DURATION_TOLERANCE = 2.0, 0.01


def probe_video(path: Path, duration: float | None) -> Header:
    """
    Decodes the start, the middle and the end of a video, and compares its duration.

    Args:
        path: The file.
        duration: That it should have, in seconds, if it is known.

    Returns:
        What it declares.

    Raises:
        VideoDecodeError: it does not decode there, or its duration is over 2 s and over 1 % away.
    """
    header = read_header(str(path))
    found = header.duration
    if found is not None and duration:
        tolerance = max(DURATION_TOLERANCE_S, DURATION_TOLERANCE * duration)
        if abs(found - duration) > tolerance:
            raise VideoDecodeError(
                f"it lasts {found:.1f} s, expected {duration:.1f} s within {tolerance:.1f} s; see whether the "
                "database means another cut"
            )
    end = found or duration or 0.0
    decode_frames(path, [0.0, end / 2, end])
    return header


def to_mp4(path: Path, audio: bool) -> Path:
    """
    Returns an MP4 of the best video stream of a file, and of its best audio stream if asked for: the file itself where
    it is that, otherwise one written beside it, without encoding anything anew.

    Raises:
        VideoDecodeError: the streams cannot be put into an MP4.
    """
    source, video, _ = open_video(str(path))
    with source:
        streams = [video, *([source.streams.best("audio")] if audio and source.streams.audio else [])]
        if "mp4" in source.format.name.split(",") and len(source.streams) == len(streams):
            return path
        target = path.with_name(f"{path.name}.remuxed.mp4")
        try:
            with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
                copies = {stream.index: container.add_stream_from_template(stream) for stream in streams}
                for packet in _timed(source.demux(*streams), video.index):
                    packet.stream = copies[packet.stream.index]
                    container.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            target.unlink(missing_ok=True)
            raise VideoDecodeError(f"its streams cannot be put into an MP4 ({error})") from error
    return target


def _timed(packets: Iterator[av.Packet], video: int) -> Iterator[av.Packet]:
    """
    Yields the packets with their dts. Matroska tells none, and FFmpeg works it out only once it has seen some frames
    reordered; those before it are put just before.
    """
    untimed: list[av.Packet] = []
    for packet in packets:
        if packet.stream.index != video:
            if packet.dts is not None:
                yield packet
        elif packet.dts is None and packet.pts is not None:
            untimed.append(packet)
        elif packet.dts is not None:
            for number, earlier in enumerate(reversed(untimed), 1):
                earlier.dts = packet.dts - number * max(1, packet.duration or 0)
            yield from untimed
            untimed = []
            yield packet
    for packet in untimed:  # nothing is reordered in such a stream
        packet.dts = packet.pts
        yield packet
