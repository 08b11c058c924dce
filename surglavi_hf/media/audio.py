# SPDX-License-Identifier: Apache-2.0
"""The sound of a video, on the clock that clips count in."""

import logging
import os
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from .container import open_video
from .errors import GET_ANOTHER, VideoDecodeError

logger = logging.getLogger(__name__)

SPEECH_RATE = 16000  # samples a second, what models of speech hear
LONGEST_S = 86400.0  # a day; a clock that says more is damaged
_JITTER_S = Fraction(1, 20)  # timestamps are rounded, in some containers to milliseconds
_BYTES = 2  # of a sample, until all are read


class NoSoundError(VideoDecodeError):
    """A video file without a stream of sound."""


def read_audio(path: str | os.PathLike, rate: int = SPEECH_RATE) -> np.ndarray:
    """
    Returns the sound of a video, float32 of shape `(num_samples,)` in [-1, 1], all channels mixed into one. Sample 0
    is second 0 of the video, as clips count: what the sound lacks before its start and in its gaps is silence, and
    what comes before second 0 is cut. Packets that cannot be decoded are silence, with a warning.

    Args:
        path: A video file.
        rate: Samples a second.

    Raises:
        NoSoundError: the file has no stream of sound.
        VideoDecodeError: it cannot be opened, has no video stream, or its sound cannot be decoded.
    """
    path = os.fspath(path)
    container, _, start = open_video(path)
    with container:
        stream = container.streams.best("audio")
        if stream is None:
            raise NoSoundError(f"video {path} has no sound, expected a stream of audio; take its subtitles instead")
        stream.thread_type = "AUTO"
        track, num_damaged = _Track(path, start, rate), 0
        try:
            for packet in container.demux(stream):
                try:
                    for frame in packet.decode():
                        track.add(frame)
                except av.error.FFmpegError:
                    num_damaged += 1
        except av.error.FFmpegError as error:
            raise VideoDecodeError(
                f"the sound of video {path} cannot be read to its end ({error.strerror}); {GET_ANOTHER}"
            ) from error
        track.end_run()
    if num_damaged and not track.num_frames:
        raise VideoDecodeError(f"the sound of video {path} cannot be decoded; {GET_ANOTHER}")
    if num_damaged:
        logger.warning("video %s: %d packets of its sound cannot be decoded; they are silence", path, num_damaged)
    return track.samples()


class _Track:
    """Sound put where its timestamps say; frames that follow one another are resampled as one run."""

    def __init__(self, path: str, start: Fraction, rate: int):
        self.num_frames = 0
        self._path, self._start, self._rate = path, start, rate
        self._buffer = bytearray()
        self._resampler: AudioResampler | None = None
        self._form: tuple | None = None
        self._begin = self._read = Fraction(0)  # s, where the run begins and how long it is
        self._written = 0  # samples of the run

    def add(self, frame: AudioFrame) -> None:
        self.num_frames += 1
        expected = self._begin + self._read
        time = expected if frame.pts is None else frame.pts * frame.time_base - self._start
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form or abs(time - expected) > _JITTER_S:
            self.end_run()
            if time > LONGEST_S:
                raise VideoDecodeError(
                    f"the clock of the sound of video {self._path} goes on at {float(time):.0f} s, expected at most "
                    f"{LONGEST_S:.0f} s; {GET_ANOTHER}"
                )
            self._form, self._begin, self._read, self._written = form, time, Fraction(0), 0
            self._resampler = AudioResampler("s16", "mono", self._rate)
        self._read += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None  # the resampler need not know
        self._write(self._resampler.resample(frame))

    def end_run(self) -> None:
        if self._resampler is not None:
            self._write(self._resampler.resample(None))
            self._resampler = None

    def _write(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            place = round(self._begin * self._rate) + self._written
            samples = frame.to_ndarray()[0]
            self._written += len(samples)
            data = samples[max(0, -place) :].tobytes()
            place = max(0, place) * _BYTES
            if place > len(self._buffer):
                self._buffer.extend(bytes(place - len(self._buffer)))
            self._buffer[place : place + len(data)] = data

    def samples(self) -> np.ndarray:
        samples = np.frombuffer(self._buffer, np.int16).astype(np.float32)
        samples /= 32768
        return samples
