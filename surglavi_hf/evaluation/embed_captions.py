# SPDX-License-Identifier: Apache-2.0
"""Clip embeddings as a Parquet file with a row for each caption."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from ..files import digest_of, write_text, written_whole
from .embed import ClipEmbeddings, list_unreadable
from .embed_readable import claimed, distinct_rows, embed_readable
from .encoders import encoder_of


def embed_captions(
    model: Any, processor: Any, dataset: Dataset, path: str | os.PathLike, batch_size: int = 32, strict: bool = False
) -> int:
    """
    Writes the embeddings of the clips of a SurgLaVi dataset as Parquet, and returns how many: `caption_id` (int64),
    `embedding` (float16, `projection_dim` of them), `model_id`, `model_revision` (strings; the revision is the commit
    on the Hub, or a digest of the weights), and a digest of all that. A clip is embedded once, whatever the number of
    its captions. Clips that cannot be read are left out and listed in `unreadable_path(path)`. What was embedded
    before it was stopped is not embedded again; until it is through it lies in `.NAME-parts` beside the file.

    Args:
        model, processor: As of [`embed_clips`].
        dataset: Rows of SurgLaVi.
        path: File to write; must not exist.
        batch_size: Clips a forward pass.
        strict: Raise at the first clip that cannot be read.

    Raises:
        FileExistsError: there is such a file, or another process writes it.
        ValueError: there are no clips, none can be read, or a part is damaged.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    path = Path(path)
    first = distinct_rows(dataset)
    with claimed(path.with_name(f".{path.name}-parts")) as parts:
        if path.exists():
            raise FileExistsError(f"{path} is there already; name a new file")
        found = embed_readable(model, processor, dataset.select(first), parts, batch_size, strict)
        table = _table(dataset, first, found, encoder_of(model, processor).describe())
        unreadable_path(path).unlink(missing_ok=True)  # of a file that was there before
        if found.unreadable:
            listed = list_unreadable(dataset.select(first), found.unreadable)
            write_text(unreadable_path(path), json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
        with written_whole(path) as beside:
            pq.write_table(table, beside)
    return len(table)


def unreadable_path(path: str | os.PathLike) -> Path:
    """Returns where the clips are listed that could not be read, beside the embeddings of the others."""
    return Path(f"{os.fspath(path)}.unreadable.json")


def _table(dataset: Dataset, first: list[int], found: ClipEmbeddings, about: dict[str, str | None]) -> pa.Table:
    intervals = list(zip(dataset["video_name"], dataset["start_time"], dataset["end_time"], strict=True))
    place = {intervals[first[row]]: index for index, row in enumerate(found.rows)}
    captions = np.array([row for row, interval in enumerate(intervals) if interval in place])
    of_caption = found.embeds.numpy()[[place[intervals[row]] for row in captions]].astype(np.float16)
    if not np.isfinite(of_caption).all():
        most = found.embeds.abs().max().item()
        raise ValueError(f"embeddings up to {most:.3g} do not fit float16; the model is not usable")
    caption_ids = np.array(dataset["caption_id"], np.int64)[captions]
    model = about["name"], about["revision"] or f"weights {about['weights_sha256']}"
    table = pa.table(
        {
            "caption_id": pa.array(caption_ids),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(of_caption.reshape(-1)), of_caption.shape[1]),
            "model_id": pa.array([model[0]] * len(captions), pa.string()),
            "model_revision": pa.array([model[1]] * len(captions), pa.string()),
        }
    )
    # Which the Hub's room compares.
    return table.replace_schema_metadata({"digest": digest_of(*model, caption_ids, of_caption)})
