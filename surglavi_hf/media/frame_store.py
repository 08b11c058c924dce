# SPDX-License-Identifier: Apache-2.0
"""One memory-mapped file of small frames a video: written once, read in no time."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import simplejpeg
import xxhash

from ..files import written_whole
from ..options import option
from .clock import is_listed
from .container import read_header
from .errors import GET_ANOTHER, DamagedVideoError, VideoDecodeError, check_end
from .frame_arrays import first_orientation, resized, to_rgb
from .library import content_identity
from .pyav_decoder import PyAVDecoder

if TYPE_CHECKING:
    import torch

VERSION = 2  # of the file's layout and of how frames are chosen and drawn
SCHEMA = pa.schema({"timestamp": pa.float64(), "image": pa.binary(), "digest": pa.uint64()})
SUFFIX = ".arrow"
OLD_VERSION = 1  # without names and digests, and without what a display matrix mirrors
_OLD_SCHEMA = pa.schema({"timestamp": pa.float64(), "image": pa.binary()})
_METADATA_KEY, _END_KEY, _DIGEST_KEY = b"surglavi_frame_store", b"end", b"digest"
_ROWS_PER_BATCH = 64
_OPEN_STORES = 256
_END_TOLERANCE_S = 2.0  # between the end of an old store and what its video declares


# What damaged bytes, or another file, lead to.
_FAULTS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    pa.ArrowException,
    RecursionError,
)


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

    fps: float = option(4.0, "frames a second")
    short_side: int = option(256, "of a frame, at most", metavar="PIXELS")
    quality: int = option(90, "of the JPEG images, 1 to 100")

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("fps", self.fps, 0.01, 1000),
            ("short_side", self.short_side, 16, 4096),
            ("quality", self.quality, 1, 100),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name}={value}, expected {low} to {high}")


def expected_metadata(source: Path, store: Path, options: FrameStoreOptions) -> dict:
    """Returns what the metadata of an up-to-date frame store of `source` say, but for what is read from the video."""
    return {"version": VERSION, **asdict(options), "name": _name(store), "source": content_identity(source)}


def is_up_to_date(store: Path, source: Path, options: FrameStoreOptions) -> bool:
    """Whether `store` is a frame store made from `source` as it is now, with these options."""
    try:
        return expected_metadata(source, store, options).items() <= FrameStore(store).metadata.items()
    except VideoDecodeError:
        return False


def upgrade_frame_store(source: Path, store: Path, options: FrameStoreOptions) -> int:
    """
    Writes a frame store of the same video anew without decoding it: one without digests, or under another name. Of one
    without digests is known what it says: that it was made with these options from a file as large as `source`, to the
    end that this declares; damage within it is not seen.

    Returns:
        The number of frames; 0 where it has to be made from the video.
    """
    try:
        old = FrameStore(store, any_name=True)
        if not (asdict(options).items() <= old.metadata.items() and old.made_from(source)):
            return 0
        duration = read_header(str(source)).duration
        if old.version != VERSION and (duration is None or abs(old.end - duration) > _END_TOLERANCE_S):
            return 0
        with written_whole(store) as beside:
            metadata = expected_metadata(source, store, options) | {"duration": duration}
            return _write_rows(beside, metadata, old.batches())
    except VideoDecodeError:
        return 0


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
            num_frames = _write(source, store, beside, options, report, careful=False)
        except DamagedVideoError:
            num_frames = _write(source, store, beside, options, report, careful=True)
        if not num_frames:
            raise VideoDecodeError(f"video {source} has no frame that can be decoded; {GET_ANOTHER}")
    return num_frames


def _write(source: Path, store: Path, path: Path, options: FrameStoreOptions, report: Callable, careful: bool) -> int:
    metadata = expected_metadata(source, store, options)
    decoder = PyAVDecoder(str(source), careful)
    try:
        metadata |= {"duration": read_header(str(source)).duration}
        return _write_rows(path, metadata, _batches(decoder, options), report)
    finally:
        decoder.close()


def _write_rows(
    path: Path,
    metadata: dict,
    batches: Iterable[tuple[list[float], list[bytes], float | None]],
    report: Callable[[int], None] = lambda num_frames: None,
) -> int:
    """Writes timestamps and images, with the end of the video beside the last, and returns how many."""
    text = json.dumps(metadata)
    schema = SCHEMA.with_metadata({_METADATA_KEY: text})
    times, digests = [], []
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for timestamps, images, end in batches:
            times += timestamps
            digests += (found := [xxhash.xxh3_64_intdigest(image) for image in images])
            more = None
            if end is not None:
                more = {_END_KEY: str(end), _DIGEST_KEY: _table_digest(text, times, digests, str(end))}
            columns = [timestamps, images, pa.array(found, pa.uint64())]
            writer.write_batch(pa.record_batch(columns, schema=schema), more)
            report(len(timestamps))
    return len(times)


def _table_digest(metadata: str, timestamps: Sequence[float], digests: Sequence[int], end: str) -> str:
    """Returns a digest of all but the images."""
    found = xxhash.xxh3_128(metadata.encode())
    for values in (np.asarray(timestamps, "<f8"), np.asarray(digests, "<u8")):
        found.update(values.tobytes())
    found.update(end.encode())
    return found.hexdigest()


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
    A frame store opened for reading. No image is read before frames are asked for; each is checked when it is.

    Args:
        path: The file.
        any_name: Whether it may be that of a video of another name.

    Raises:
        VideoDecodeError: it is not a frame store, damaged, or that of a video of another name.
    """

    def __init__(self, path: str | os.PathLike, any_name: bool = False):
        self.path = str(path)
        try:
            reader = pa.ipc.open_file(pa.memory_map(self.path))
            text = _metadata_text(reader.schema)
            self.metadata = json.loads(text)
            self.version = int(self.metadata["version"])
            batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
            for batch in batches:
                batch.validate(full=True)  # reading what is not valid can end the process
                if any(column.null_count for column in batch.columns):
                    raise ValueError("values are missing")
            table = pa.Table.from_batches(batches, reader.schema)
            self._images = table["image"].chunks
            self.timestamps = table["timestamp"].to_numpy()
            last = reader.get_batch_with_custom_metadata(len(batches) - 1).custom_metadata
            self.end = float(last[_END_KEY])
            self._digests = None
            if self.version == VERSION:
                self._digests = table["digest"].to_numpy()
                if _table_digest(text, self.timestamps, self._digests, last[_END_KEY].decode()) != last[
                    _DIGEST_KEY
                ].decode("ascii"):
                    raise ValueError("it is not as it was written")
        except _FAULTS as error:
            raise self._broken(error) from error
        if not len(self.timestamps) or not (np.diff(self.timestamps) > 0).all() or not np.isfinite(self.end):
            raise self._broken("its timestamps do not ascend")
        if not any_name and self.version == VERSION and self.metadata["name"] != _name(Path(self.path)):
            raise VideoDecodeError(
                f"frame store {self.path} is that of the video {self.metadata['name']!r}; give it this name, or run "
                "`surglavi frames` to have it follow its video"
            )
        self._first_rows = np.cumsum([0, *(len(images) for images in self._images)])

    def _broken(self, reason: object) -> VideoDecodeError:
        reason = (str(reason).splitlines() or [""])[0]
        return VideoDecodeError(
            f"frame store {self.path} cannot be read ({reason}); move it away and run `surglavi frames` again"
        )

    def made_from(self, source: Path) -> bool:
        """
        Whether it was made from `source` as it is now, by its content wherever it was copied. An old one knows the
        size alone; it is of no use where its frames may be mirrored, or their times those of another recording.
        """
        made_from = self.metadata.get("source")
        if self.version == VERSION:
            return made_from == content_identity(source)
        size = source.stat().st_size
        return isinstance(made_from, dict) and made_from.get("size") == size and _was_right(str(source), size)

    def batches(self) -> Iterator[tuple[list[float], list[bytes], float | None]]:
        """Yields all timestamps and images, with the last of them the second the video ends. Raises as [`decode`]."""
        for first, images in zip(self._first_rows, self._images, strict=False):
            rows = range(first, first + len(images))
            end = self.end if rows[-1] == len(self.timestamps) - 1 else None
            yield self.timestamps[first : first + len(images)].tolist(), [bytes(self._image(row)) for row in rows], end

    def _image(self, row: int) -> pa.Buffer:
        batch = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        image = self._images[batch][row - int(self._first_rows[batch])].as_buffer()
        if self._digests is not None and xxhash.xxh3_64_intdigest(image) != int(self._digests[row]):
            raise self._broken(f"its frame at {self.timestamps[row]:.3f} s is not as it was written")
        return image

    def images(self, times: np.ndarray) -> list[bytes]:
        """Returns the last stored frames at or before `times` (s) as they are stored, JPEG. Raises as [`decode`]."""
        return [bytes(self._image(row)) for row in self._rows_at(times)]

    def decode(self, times: np.ndarray) -> "torch.Tensor":
        """
        Returns the last stored frames at or before `times` (s), `torch.uint8` of shape
        `(len(times), 3, height, width)`.

        Raises:
            PastEndError: a time is over 1 s past the end of the video.
            VideoDecodeError: the file is damaged.
        """
        import torch  # which images alone do not need

        rows = self._rows_at(times)
        frames: np.ndarray | None = None
        at: dict[int, int] = {}
        try:
            for index, row in enumerate(rows):
                if row in at:
                    frames[index] = frames[at[row]]
                    continue
                jpeg = np.frombuffer(self._image(row), np.uint8)
                if frames is None:
                    height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
                    frames = np.empty((len(rows), height, width, 3), np.uint8)
                simplejpeg.decode_jpeg(jpeg, buffer=frames[index])
                at[row] = index
        except ValueError as error:
            raise self._broken(error) from error
        return torch.from_numpy(frames).permute(0, 3, 1, 2)

    def _rows_at(self, times: np.ndarray) -> list[int]:
        check_end(self.path, times.max(), self.end)
        return np.maximum(np.searchsorted(self.timestamps, times, side="right") - 1, 0).tolist()


def open_frame_store(path: Path) -> FrameStore:
    """Returns the frame store at `path`, from a cache while the file is the same. Raises as [`FrameStore`]."""
    status = path.stat()
    return _open_frame_store(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(_OPEN_STORES)
def _open_frame_store(path: str, size: int, mtime_ns: int) -> FrameStore:
    return FrameStore(path)


def _metadata_text(schema: pa.Schema) -> str:
    text = (schema.metadata or {}).get(_METADATA_KEY, b"null").decode()
    found = json.loads(text)
    versions = {VERSION: SCHEMA, OLD_VERSION: _OLD_SCHEMA}
    if not isinstance(found, dict) or not schema.equals(versions.get(found.get("version"), SCHEMA)):
        raise ValueError("it is not a frame store")
    return text


def _name(store: Path) -> str:
    return store.name.removesuffix(SUFFIX)


@lru_cache(_OPEN_STORES)
def _was_right(source: str, size: int) -> bool:
    """Whether frame stores of version 1 were right for a video: all but those of mirrored and of joined ones."""
    try:
        return is_listed(read_header(source).container) and not first_orientation(source).is_mirrored
    except VideoDecodeError:
        return False
