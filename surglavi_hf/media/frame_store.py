# SPDX-License-Identifier: Apache-2.0
"""One memory-mapped file of small frames a video: written once, read in no time."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import simplejpeg
import torch

from ..files import written_whole
from .container import read_header
from .errors import DamagedVideoError, VideoDecodeError, check_end
from .picture import resized, to_rgb
from .pyav_decoder import PyAVDecoder

VERSION = 1  # of the file's layout and of how frames are chosen and drawn
SCHEMA = pa.schema({"timestamp": pa.float64(), "image": pa.binary()})
_METADATA_KEY, _END_KEY = b"surglavi_frame_store", b"end"
_ROWS_PER_BATCH = 64
_OPEN_STORES = 256


@dataclass(frozen=True)
class FrameStoreOptions:
    """
    How a frame store is made.

    Args:
        fps: Frames a second, or all those of the video where it has fewer.
        short_side: Pixels of the shorter side; smaller videos keep their size.
        quality: Of the JPEG images, 1 to 100.

    Raises:
        ValueError: one is out of range.
    """

    fps: float = 4.0
    short_side: int = 256
    quality: int = 90

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("fps", self.fps, 0.01, 1000),
            ("short_side", self.short_side, 16, 4096),
            ("quality", self.quality, 1, 100),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name}={value}, expected {low} to {high}")


def expected_metadata(source: Path, options: FrameStoreOptions) -> dict:
    """Returns what the metadata of an up-to-date frame store of `source` say, but for what is read from the video."""
    status = source.stat()
    return {"version": VERSION, **asdict(options), "source": {"size": status.st_size, "mtime_ns": status.st_mtime_ns}}


def is_up_to_date(store: Path, source: Path, options: FrameStoreOptions) -> bool:
    """Whether `store` is a frame store made from `source` as it is now, with these options."""
    try:
        return expected_metadata(source, options).items() <= FrameStore(store).metadata.items()
    except VideoDecodeError:
        return False


def write_frame_store(
    source: Path, store: Path, options: FrameStoreOptions, report: Callable[[int], None] = lambda num_frames: None
) -> int:
    """
    Writes the frame store of a video: of each point of the grid of `1 / fps` seconds the frame on screen, with the
    second that it starts, and the last frame. Written beside and renamed.

    Args:
        source: The video.
        store: The file to write.
        options: How.
        report: Called with the number of frames written since the last call.

    Returns:
        The number of frames.

    Raises:
        VideoDecodeError: the video has no frame that can be decoded.
        OSError: the file cannot be written.
    """
    store.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(store) as beside:
        try:
            num_frames = _write(source, beside, options, report, careful=False)
        except DamagedVideoError:
            num_frames = _write(source, beside, options, report, careful=True)
        if not num_frames:
            raise VideoDecodeError(f"video {source} has no frame that can be decoded; delete it and download it again")
    return num_frames


def _write(source: Path, path: Path, options: FrameStoreOptions, report: Callable, careful: bool) -> int:
    metadata = expected_metadata(source, options)
    decoder = PyAVDecoder(str(source), careful)
    try:
        metadata |= {"duration": read_header(str(source)).duration}
        schema = SCHEMA.with_metadata({_METADATA_KEY: json.dumps(metadata)})
        num_frames = 0
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for timestamps, images, end in _batches(decoder, options):
                more = None if end is None else {_END_KEY: str(end)}
                writer.write_batch(pa.record_batch([timestamps, images], schema=schema), more)
                num_frames += len(timestamps)
                report(len(timestamps))
        return num_frames
    finally:
        decoder.close()


def _batches(
    decoder: PyAVDecoder, options: FrameStoreOptions
) -> Iterator[tuple[list[float], list[bytes], float | None]]:
    """Yields timestamps and images, and with the last of them the second the video ends."""
    timestamps: list[float] = []
    images: list[bytes] = []
    last, size, shape, video_end = -1.0, None, None, 0.0

    def on_grid(start: float, end: float | None) -> bool:
        points = (int(start * options.fps) + step for step in (0, 1))
        return end is None or any(start <= point / options.fps < end for point in points)

    for start, end, frame in decoder.read(on_grid):
        if start < last:
            raise VideoDecodeError(
                f"video {decoder.path} has a frame at {start:.3f} s after that at {last:.3f} s, expected times that "
                "ascend; convert it with ffmpeg to an MP4"
            )
        if start == last:  # two frames at one time: the first is on screen
            continue
        if len(images) == _ROWS_PER_BATCH:
            yield timestamps, images, None
            timestamps, images = [], []
        video_end = max(video_end, start + decoder.length(frame) if end is None else end)
        last = start
        if size is None:  # of all, whatever comes later
            scale = min(1.0, options.short_side / min(frame.width, frame.height))
            size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        image = to_rgb(frame, *size)
        shape = shape or image.shape  # a video may be turned on the way
        image = np.ascontiguousarray(resized(image, shape))
        timestamps.append(start)
        images.append(simplejpeg.encode_jpeg(image, options.quality, colorspace="RGB", colorsubsampling="420"))
    if images:
        yield timestamps, images, video_end


class FrameStore:
    """
    A frame store opened for reading. Nothing is read before frames are asked for.

    Args:
        path: The file.

    Raises:
        VideoDecodeError: it is not a frame store, or damaged.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = str(path)
        try:
            reader = pa.ipc.open_file(pa.memory_map(self.path))
            self.metadata = _metadata(reader.schema)
            batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
            for batch in batches:
                batch.validate(full=True)  # reading what is not valid can end the process
                if any(column.null_count for column in batch.columns):
                    raise ValueError("values are missing")
            table = pa.Table.from_batches(batches, reader.schema)
            self._batches = table["image"].chunks
            self.timestamps = table["timestamp"].to_numpy()
            self._end = float(reader.get_batch_with_custom_metadata(len(batches) - 1).custom_metadata[_END_KEY])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, pa.ArrowException) as error:
            raise self._broken(error) from error
        if not len(self.timestamps) or not (np.diff(self.timestamps) > 0).all() or not np.isfinite(self._end):
            raise self._broken("its timestamps do not ascend")
        self._first_rows = np.cumsum([0, *(len(batch) for batch in self._batches)])

    def _broken(self, reason: object) -> VideoDecodeError:
        reason = (str(reason).splitlines() or [""])[0]
        return VideoDecodeError(
            f"frame store {self.path} cannot be read ({reason}); delete it and run `surglavi frames` again"
        )

    def made_from(self, source: Path) -> bool:
        """Whether it was made from `source` as it is now."""
        status = source.stat()
        return self.metadata.get("source") == {"size": status.st_size, "mtime_ns": status.st_mtime_ns}

    def decode(self, times: np.ndarray) -> torch.Tensor:
        """
        Returns the last stored frames at or before `times` (s), `torch.uint8` of shape
        `(len(times), 3, height, width)`.

        Raises:
            PastEndError: a time is over 1 s past the end of the video.
            VideoDecodeError: the file is damaged.
        """
        check_end(self.path, times.max(), self._end)
        rows = np.maximum(np.searchsorted(self.timestamps, times, side="right") - 1, 0)
        frames: np.ndarray | None = None
        at: dict[int, int] = {}
        try:
            for index, row in enumerate(rows.tolist()):
                if row in at:
                    frames[index] = frames[at[row]]
                    continue
                batch = int(np.searchsorted(self._first_rows, row, side="right")) - 1
                jpeg = np.frombuffer(self._batches[batch][row - int(self._first_rows[batch])].as_buffer(), np.uint8)
                if frames is None:
                    height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
                    frames = np.empty((len(rows), height, width, 3), np.uint8)
                simplejpeg.decode_jpeg(jpeg, buffer=frames[index])
                at[row] = index
        except ValueError as error:
            raise self._broken(error) from error
        return torch.from_numpy(frames).permute(0, 3, 1, 2)


def open_frame_store(path: Path) -> FrameStore:
    """Returns the frame store at `path`, from a cache while the file is the same. Raises as [`FrameStore`]."""
    status = path.stat()
    return _open_frame_store(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(_OPEN_STORES)
def _open_frame_store(path: str, size: int, mtime_ns: int) -> FrameStore:
    return FrameStore(path)


def _metadata(schema: pa.Schema) -> dict:
    found = json.loads((schema.metadata or {}).get(_METADATA_KEY, b"null"))
    if not isinstance(found, dict) or not schema.equals(SCHEMA):
        raise ValueError("it is not a frame store")
    return found
