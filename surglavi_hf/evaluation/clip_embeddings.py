# SPDX-License-Identifier: Apache-2.0
"""
Embeddings of clips and texts: the one place that reads the clips of an evaluation, by all processes, each video as
soon as it is done on disk.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from filelock import FileLock, Timeout
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..data import Embeddings, VideoDecodeError
from ..files import printable, write_text
from ..interrupts import interrupts_for_us_alone
from ..options import option
from .encoders import text_encoder_of
from .launched import Processes
from .video_encoder import Preprocessed, VideoEncoder, finite
from .video_store import VideoResult, VideoStore, store_key

logger = logging.getLogger(__name__)

_LONGEST_REASON = 300  # characters
_TEXTS_A_PASS = 256
_INTERVAL = ("video_name", "start_time", "end_time")
Interval = tuple[Any, Any, Any]  # video, start and end in seconds
# Of the rows of a dataset, of shape (len(dataset), projection_dim), or by caption id.
KnownEmbeddings = torch.Tensor | Embeddings


@dataclass(frozen=True)
class EmbeddingOptions:
    """
    How clips or windows are embedded.

    Args:
        batch_size: Clips or windows a forward pass; changes figures by rounding alone.
        num_workers: Processes that read frames.
        strict: Raise at the first clip that cannot be read.

    Raises:
        ValueError: a number is too small.
    """

    batch_size: int = option(32, "Clips or windows a forward pass.", least=1)
    num_workers: int = option(0, "Processes that read frames.", least=0)
    strict: bool = option(
        False, "Stop at the first clip that cannot be read (default: leave it out, list it, exit status 1)."
    )

    def __post_init__(self):
        if self.batch_size < 1 or self.num_workers < 0:
            raise ValueError(
                f"batch_size={self.batch_size}, num_workers={self.num_workers}, expected at least 1 and 0"
            )


@dataclass(frozen=True)
class ClipEmbeddings:
    """
    Args:
        embeds: `torch.float32` of shape `(len(rows), projection_dim)`, on the CPU.
        rows: Of the dataset, whose clips have an embedding, in order.
        unreadable: Why the clips of other rows could not be read, by row.
    """

    embeds: torch.Tensor
    rows: list[int]
    unreadable: dict[int, str]


def embed_clips(
    model: Any,
    processor: Any,
    dataset: Dataset,
    options: EmbeddingOptions | None = None,
    parts: Path | None = None,
    in_step: bool = False,
) -> ClipEmbeddings:
    """
    Returns the embeddings of the clips of a dataset that can be read, and which cannot. Frames are the centres of
    equal segments of the clip, as many as the model takes; a model of images embeds each, and a clip is their mean. A
    forward pass is of clips of one video: figures do not depend on how many processes there are, nor on stops.

    Under `accelerate launch` or torchrun the processes share the videos, and each returns all embeddings.

    Args:
        model, processor: As [`zero_shot`].
        dataset: Rows with a `clip` column.
        options: By default those of [`EmbeddingOptions`].
        parts: Folder for what is done, a file a video, so that a run that was stopped goes on.
        in_step: Every process makes as many forward passes, as a model needs whose weights they share.

    Raises:
        ValueError: `dataset` is empty, an embedding is not finite, or a part is damaged.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    encoder, processes = text_encoder_of(model, processor), Processes()
    rows_of: dict[Any, list[int]] = {}
    intervals = intervals_of(dataset)
    if not intervals:
        raise ValueError("no clips to embed: the dataset is empty; choose another split or level")
    for row, (video, *_) in enumerate(intervals):
        rows_of.setdefault(video, []).append(row)
    mine = {video: rows_of[video] for video in processes.share({video: len(rows) for video, rows in rows_of.items()})}
    work = _Work(encoder, dataset.select_columns("clip"), intervals, options or EmbeddingOptions(), parts)
    found = processes.together(lambda: work.embed(mine, processes, in_step))
    embeds = {row: embed for part in found for row, embed in part[0].items()}
    unreadable = {row: reason for part in found for row, reason in sorted(part[1].items())}
    if unreadable and not processes.index:
        what = f"{len(unreadable)} of {len(intervals)} clips cannot be read and are left out"
        logger.warning("%s; the first: %s", what, unreadable[min(unreadable)])
    rows = sorted(embeds)
    every = torch.from_numpy(np.stack([embeds[row] for row in rows])) if rows else torch.empty(0)
    return ClipEmbeddings(every, rows, dict(sorted(unreadable.items())))


@dataclass
class _Work:
    """One process's."""

    encoder: VideoEncoder
    clips: Dataset
    intervals: list[Interval]
    options: EmbeddingOptions
    parts: Path | None

    def embed(
        self, videos: Mapping[Any, list[int]], processes: Processes, in_step: bool
    ) -> tuple[dict[int, np.ndarray], dict[int, str]]:
        """Returns embeddings, and reasons why there is none, by row."""
        store = VideoStore(self.parts, "clips") if self.parts else None
        about = self.encoder.describe() if store else {}
        embeds, unreadable, batches, ends = {}, {}, [], {}
        for video, rows in videos.items():
            name = store_key(about, [self.intervals[row] for row in rows]) if store else ""
            known = _read_part(store, name, rows) if store else {}
            embeds |= known
            missing = [row for row in rows if row not in known]  # what could not be read may have come since
            starts = range(0, len(missing), self.options.batch_size)
            batches += [missing[start : start + self.options.batch_size] for start in starts]
            if missing:
                ends[len(batches) - 1] = video, name
        passes = max(processes.gather(len(batches))) if in_step else len(batches)
        reader = _Reader(self.encoder)
        loader = DataLoader(self.clips, batch_sampler=batches, collate_fn=reader, num_workers=self.options.num_workers)
        with interrupts_for_us_alone():
            read = iter(loader)
        total = sum(map(len, videos.values()))
        with (
            self.encoder.evaluating(),
            tqdm(
                total=total, initial=len(embeds), desc="embed clips", unit="clip", disable=processes.index > 0
            ) as bar,
        ):
            for place, (rows, (frames, reasons)) in enumerate(zip(batches, read, strict=True)):
                if self.options.strict and reasons:
                    raise VideoDecodeError(f"a clip cannot be read: {next(iter(reasons.values()))}")
                if in_step or len(reasons) < len(rows):
                    of_rows = self._embed(frames, len(rows))
                    embeds |= {row: of_rows[at] for at, row in enumerate(rows) if at not in reasons}
                unreadable |= {rows[at]: reason for at, reason in reasons.items()}
                bar.update(len(rows))
                if store and place in ends:
                    video, name = ends[place]
                    self._write_part(store, name, videos[video], embeds)
            for _ in range(len(batches), passes):
                self._embed(reader.blank(), 1)
        if embeds:
            finite(torch.from_numpy(np.stack([*embeds.values()])), "clips")
        return embeds, unreadable

    def _embed(self, frames: Preprocessed, num_clips: int) -> np.ndarray:
        """Returns embeddings of shape `(num_clips, projection_dim)` of the frames of clips, one clip after another."""
        encoded = self.encoder.encode_frames(frames)
        windows = torch.arange(num_clips * self.encoder.num_frames).reshape(num_clips, -1)
        return self.encoder.embed_windows(encoded, windows)["projected"].float().cpu().numpy()

    def _write_part(self, store: VideoStore, name: str, rows: list[int], embeds: Mapping[int, np.ndarray]) -> None:
        """A clip that could not be read is a row of NaN."""
        known = [embeds[row] for row in rows if row in embeds]
        if not known:
            return
        finite(torch.from_numpy(np.stack(known)), "clips")
        array = np.stack([embeds.get(row, np.full_like(known[0], np.nan)) for row in rows])
        times = {column: [self.intervals[row][at] for row in rows] for at, column in enumerate(_INTERVAL) if at}
        store.write(name, times, VideoResult({"embeds": array}, 0.0))


def _read_part(store: VideoStore, name: str, rows: list[int]) -> dict[int, np.ndarray]:
    """Returns what is known of the clips of a video, by row."""
    result = store.read(name, len(rows))
    if result is None:
        return {}
    embeds = result.arrays["embeds"]
    return {row: embed for row, embed in zip(rows, embeds, strict=True) if not np.isnan(embed).any()}


class _Reader:
    """Makes a batch of rows, and why some are not read; a class, since workers may be started and not forked."""

    def __init__(self, encoder: VideoEncoder):
        self.encoder = encoder

    def __call__(self, rows: list[dict]) -> tuple[Preprocessed, dict[int, str]]:
        clips, reasons = {}, {}
        for place, row in enumerate(rows):
            try:
                clips[place] = self.encoder.preprocess(row["clip"].frames(self.encoder.num_frames))
            except (OSError, ValueError, VideoDecodeError) as error:
                reasons[place] = " ".join(str(error).split()) or type(error).__name__
        like = next(iter(clips.values())) if clips else self.blank()
        return _joined([clips.get(place, like) for place in range(len(rows))]), reasons

    def blank(self) -> Preprocessed:
        return self.encoder.preprocess(torch.zeros(self.encoder.num_frames, 3, 32, 32, dtype=torch.uint8))


def _joined(clips: list[Preprocessed]) -> Preprocessed:
    if isinstance(clips[0], torch.Tensor):
        return torch.cat(clips)
    return {name: torch.cat([clip[name] for clip in clips]) for name in clips[0]}


def intervals_of(dataset: Dataset) -> list[Interval]:
    """
    Returns video, start and end of each row: of its columns `video_name`, `start_time` and `end_time`, else of its
    clip. Rows of which neither is known are each of their own.
    """
    dataset = dataset.with_format(None)
    if set(_INTERVAL) <= set(dataset.column_names):
        return list(zip(*(dataset.select_columns(list(_INTERVAL))[:][name] for name in _INTERVAL), strict=True))
    clips = dataset["clip"]
    return [
        tuple(getattr(clip, name, row if at else "") for at, name in enumerate(_INTERVAL))
        for row, clip in enumerate(clips)
    ]


def distinct_rows(dataset: Dataset) -> list[int]:
    """
    Returns the first row of each video and interval, in order.

    Raises:
        ValueError: there are no rows.
    """
    first = {interval: row for row, interval in reversed(list(enumerate(intervals_of(dataset))))}
    if not first:
        raise ValueError("no clips to embed: the dataset is empty; choose another split or level")
    return sorted(first.values())


def check_any(found: ClipEmbeddings) -> ClipEmbeddings:
    """Returns its argument. Raises ValueError where none of the clips could be read."""
    if not found.rows:
        count, first = len(found.unreadable), next(iter(found.unreadable.values()))
        raise ValueError(f"none of {count} clips can be read; are the videos or frames there? The first: {first}")
    return found


def list_unreadable(dataset: Dataset, unreadable: Mapping[int, str]) -> list[dict[str, str | int | float | None]]:
    """
    Returns for each clip that cannot be read `caption_id` (None where the dataset has none), `video_name`,
    `start_time`, `end_time` (s) and `reason`, in which there are no folders of this machine.

    Args:
        dataset: Rows with a `clip` column.
        unreadable: Reasons by row.
    """
    listed = []
    for row, reason in unreadable.items():
        clip = dataset[row]["clip"]
        # What is left of a path is its last name.
        reason = re.sub(r"(/[^/\s]+)+/(?=[^/\s])", "", reason.replace(f"{getattr(clip, 'video_dir', '')}/", ""))
        listed.append(
            {
                "caption_id": dataset[row].get("caption_id"),
                **{name: getattr(clip, name, None) for name in _INTERVAL},
                "reason": printable(reason)[:_LONGEST_REASON],
            }
        )
    return listed


@dataclass(frozen=True)
class KnownClips(ClipEmbeddings):
    """
    Args:
        listed: Of the clips that could not be read, as [`list_unreadable`].
        protocol: What a report says of where the embeddings come from.
    """

    listed: list[dict[str, str | int | float | None]]
    protocol: dict[str, str | int]


def clips_of(
    encoder: VideoEncoder,
    dataset: Dataset,
    rows: list[int],
    known: KnownEmbeddings | None,
    options: EmbeddingOptions | None = None,
    parts: Path | None = None,
) -> KnownClips:
    """
    Returns the embeddings of the clips of some rows of a dataset, embedded now or known already.

    Args:
        encoder: Which embeds them.
        dataset: Of SurgLaVi; without videos where the embeddings are known.
        rows: Which are wanted.
        known: Of all rows of the dataset, or by caption id.
        options, parts: As [`embed_clips`].

    Raises:
        ValueError: no clip can be read or none has an embedding, or the embeddings are of another model.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    protocol: dict[str, str | int]
    if known is None:
        part = dataset.select(rows)
        found = check_any(embed_clips(encoder, None, part, options, parts))
        listed = list_unreadable(part, found.unreadable)
        kept = [rows[row] for row in found.rows]
        protocol = {"num_unreadable_clips": len(listed), **encoder.frame_protocol()}
        return KnownClips(found.embeds, kept, found.unreadable, listed, protocol)
    if isinstance(known, torch.Tensor):
        return KnownClips(known[rows], rows, {}, [], {"num_unreadable_clips": 0})
    check_same_model(known, encoder)
    if "caption_id" not in dataset.column_names:
        raise ValueError(f"the rows have no caption_id, by which {known.source} has its embeddings")
    places = known.places(np.array(dataset.with_format(None)["caption_id"][:], np.int64))
    intervals = intervals_of(dataset)
    place_of = {interval: place for interval, place in zip(intervals, places, strict=True) if place >= 0}
    kept = [row for row in rows if intervals[row] in place_of]
    if not kept:
        raise ValueError(
            f"none of {len(rows)} clips has an embedding in {known.source}, which has {len(known.caption_id):,}; are "
            "they of this database, level and split?"
        )
    embeds = torch.from_numpy(known.embedding[[place_of[intervals[row]] for row in kept]]).float()
    protocol = {
        "num_unreadable_clips": 0,
        "num_clips_without_embedding": len(rows) - len(kept),
        "clip_embeddings": f"published, float16, digest {known.digest}",
    }
    return KnownClips(embeds, kept, {}, [], protocol)


def model_identity(about: Mapping[str, str | None]) -> tuple[str, str]:
    """
    Returns the name of a model, and its commit on the Hub or a digest of its weights; of an encoder that is none of
    this package's its class, and digests of weights and code.

    Args:
        about: As [`VideoEncoder.describe`].
    """
    weights = f"weights {about['weights_sha256']}"
    if code := about.get("encoder_sha256"):
        return str(about["encoder"]), f"{weights} code {code}"
    return str(about["name"]), about["revision"] or weights


def check_same_model(known: Embeddings, encoder: VideoEncoder) -> None:
    """Raises ValueError where embeddings are of another model, by its commit on the Hub or a digest of its weights."""
    about = encoder.describe()
    name, revision = model_identity(about)
    # The same weights are the same model wherever they lie; a commit is one of its repository.
    by_weights = model_identity({**about, "revision": None})[1]
    if known.model_revision != by_weights and (known.model_id, known.model_revision) != (name, revision):
        also = "" if revision == by_weights else f" ({by_weights})"
        raise ValueError(
            f"{known.source} has embeddings of {known.model_id} at {known.model_revision}, and the model is {name} at "
            f"{revision}{also}; give the model they are of, or embed the clips again"
        )


def embed_texts(model: Any, processor: Any, texts: Sequence[str]) -> torch.Tensor:
    """
    Returns embeddings of captions or prompts, `torch.float32` of shape `(len(texts), projection_dim)`, on the CPU;
    cleaned first as the captions were that the model was trained on, if they were.

    Args:
        model, processor: As [`zero_shot`].
        texts: Of any number.

    Raises:
        ValueError: an embedding is not finite.
    """
    encoder = text_encoder_of(model, processor)
    with encoder.evaluating():
        starts = range(0, len(texts), _TEXTS_A_PASS)
        embeds = [encoder.embed_captions(list(texts[start : start + _TEXTS_A_PASS])) for start in starts]
    return finite(torch.cat(embeds).float().cpu(), "texts")


def embed_captions(
    model: Any,
    processor: Any,
    dataset: Dataset,
    path: str | os.PathLike,
    options: EmbeddingOptions | None = None,
) -> int:
    """
    Writes the embeddings of the clips of a SurgLaVi dataset as Parquet, and returns how many: `caption_id` (int64),
    `embedding` (float16, `projection_dim` of them), `model_id`, `model_revision` (strings; the revision is the commit
    on the Hub, or a digest of the weights), and a digest of all that. A clip is embedded once, whatever the number of
    its captions. Clips that cannot be read are left out and listed in `unreadable_path(path)`. What was embedded
    before it was stopped is not embedded again; until it is through it lies in `.NAME-parts` beside the file.

    Args:
        model, processor: As [`zero_shot`].
        dataset: Rows of SurgLaVi.
        path: File to write; must not exist.
        options: By default those of [`EmbeddingOptions`].

    Raises:
        FileExistsError: there is such a file, or another process writes it.
        ValueError: there are no clips, none can be read, or a part is damaged.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    path, encoder, processes = Path(path), text_encoder_of(model, processor), Processes()
    first = distinct_rows(dataset)
    with claimed(path.with_name(f".{path.name}-parts")) as parts:
        processes.first(lambda: _check_new(path))
        clips = dataset.select(first)
        found = check_any(embed_clips(encoder, None, clips, options, parts))
        embeddings = _by_caption(dataset, first, found, encoder)

        def write() -> None:
            unreadable_path(path).unlink(missing_ok=True)  # of a file that was there before
            if found.unreadable:
                listed = list_unreadable(clips, found.unreadable)
                write_text(unreadable_path(path), json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
            embeddings.write(path)

        processes.first(write)
    return len(embeddings.caption_id)


def unreadable_path(path: str | os.PathLike) -> Path:
    """Returns where the clips are listed that could not be read, beside the embeddings of the others."""
    return Path(f"{os.fspath(path)}.unreadable.json")


def _check_new(path: Path) -> None:
    if path.exists():
        raise FileExistsError(f"{path} is there already; name a new file")


def _by_caption(dataset: Dataset, first: list[int], found: ClipEmbeddings, encoder: VideoEncoder) -> Embeddings:
    intervals = intervals_of(dataset)
    place = {intervals[first[row]]: index for index, row in enumerate(found.rows)}
    captions = np.array([row for row, interval in enumerate(intervals) if interval in place])
    of_caption = found.embeds.numpy()[[place[intervals[row]] for row in captions]].astype(np.float16)
    if not np.isfinite(of_caption).all():
        most = found.embeds.abs().max().item()
        raise ValueError(f"embeddings up to {most:.3g} do not fit float16; the model is not usable")
    caption_ids = np.array(dataset.with_format(None)["caption_id"][:], np.int64)[captions]
    return Embeddings(caption_ids, of_caption, *model_identity(encoder.describe()))


@contextmanager
def claimed(parts: Path) -> Iterator[Path]:
    """
    Makes a folder for parts of embeddings, and keeps it to this process, and those that were launched with it, for the
    time of a `with`. Goes with what is in it once that is through, or where nothing was embedded; another end leaves
    it, to go on from.

    Raises:
        FileExistsError: another process has it.
    """
    processes = Processes()
    above = [folder for folder in parts.parents if not folder.exists()]
    lock = FileLock(parts / "lock", timeout=0)

    def claim() -> None:
        parts.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise FileExistsError(
                f"another process is at work in {parts}; wait for it, or name another place"
            ) from error

    processes.first(claim)
    through = False
    try:
        yield parts
        through = True
    finally:
        if not processes.index:
            if through or not any(parts.glob("*.arrow")):
                shutil.rmtree(parts, ignore_errors=True)
            lock.release()
            with suppress(OSError):  # where there is something in it
                for folder in above:
                    folder.rmdir()
