# SPDX-License-Identifier: Apache-2.0
"""Embeddings of very many clips, by runs that may be stopped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from ..files import digest_of, written_whole
from .embed import ClipEmbeddings, check_any, embed_clips
from .embed_benchmark import store_key
from .encoders import encoder_of

_PART = 256  # clips


def distinct_rows(dataset: Dataset) -> list[int]:
    """
    Returns the first row of each video and interval, in order.

    Raises:
        ValueError: there are no rows.
    """
    intervals = zip(dataset["video_name"], dataset["start_time"], dataset["end_time"], strict=True)
    first = {interval: row for row, interval in reversed(list(enumerate(intervals)))}
    if not first:
        raise ValueError("no clips to embed: the dataset is empty; choose another split or level")
    return sorted(first.values())


@contextmanager
def claimed(parts: Path) -> Iterator[Path]:
    """
    Makes a folder for parts of embeddings, and keeps it to this process for the time of a `with`. Goes with what is in
    it once that is through, or where nothing was embedded; another end leaves it, to go on from.

    Raises:
        FileExistsError: another process has it.
    """
    above = [folder for folder in parts.parents if not folder.exists()]
    parts.mkdir(parents=True, exist_ok=True)
    lock = FileLock(parts / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise FileExistsError(f"another process is at work in {parts}; wait for it, or name another place") from error
    through = False
    try:
        yield parts
        through = True
    finally:
        if through or not any(parts.glob("*.npz")):
            shutil.rmtree(parts, ignore_errors=True)
        lock.release()
        with suppress(OSError):  # where there is something in it
            for folder in above:
                folder.rmdir()


def embed_readable(
    model: Any, processor: Any, dataset: Dataset, parts: Path, batch_size: int = 32, strict: bool = False
) -> ClipEmbeddings:
    """
    Returns what [`embed_clips`] does, a part at a time.

    Args:
        model, processor: As of [`embed_clips`].
        dataset: Rows of SurgLaVi.
        parts: Folder for what is done, so that a run that was stopped goes on.
        batch_size: Clips a forward pass.
        strict: Raise at the first clip that cannot be read.

    Raises:
        ValueError: none can be read, or a part is damaged.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    description = encoder_of(model, processor).describe()
    embeds, rows, unreadable = [], [], {}
    for start in tqdm(range(0, len(dataset), _PART), desc="embed clips", unit=f"{_PART} clips"):
        part = dataset.select(range(start, min(start + _PART, len(dataset))))
        clips = [list(part[name]) for name in ("video_name", "start_time", "end_time")]
        key = store_key(description, *clips)
        path = parts / f"{key}.npz"
        known = _read_part(path, key)
        missing = sorted(set(range(len(part))) - set(known))  # what could not be read may have come since
        if missing:
            found = embed_clips(model, processor, part.select(missing), batch_size, strict=strict)
            known |= {missing[row]: embed for row, embed in zip(found.rows, found.embeds.numpy(), strict=True)}
            unreadable |= {start + missing[row]: reason for row, reason in found.unreadable.items()}
            if found.rows:
                _write_part(path, key, known)
        rows += [start + row for row in sorted(known)]
        embeds += [known[row] for row in sorted(known)]
    found = torch.from_numpy(np.stack(embeds)) if embeds else torch.empty(0)
    return check_any(ClipEmbeddings(found, rows, unreadable))


def _read_part(path: Path, key: str) -> dict[int, np.ndarray]:
    """
    Returns embeddings by row; none where there is no file.

    Raises:
        ValueError: it is damaged, or of other clips.
    """
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as known:
            rows, embeds, digest = (known[name] for name in ("rows", "embeds", "digest"))
        if str(digest) != digest_of(key, rows, embeds) or len(rows) != len(embeds):
            raise ValueError("not as it was written")
    except Exception as error:  # numpy, zip and zlib each raise their own
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())}); delete it") from error
    return dict(zip(rows.tolist(), embeds, strict=True))


def _write_part(path: Path, key: str, known: dict[int, np.ndarray]) -> None:
    rows = np.array(sorted(known), np.int64)
    embeds = np.stack([known[row] for row in rows])
    with written_whole(path) as beside, beside.open("wb") as file:
        np.savez(file, rows=rows, embeds=embeds, digest=np.array(digest_of(key, rows, embeds)))
