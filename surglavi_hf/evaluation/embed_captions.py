# SPDX-License-Identifier: Apache-2.0
"""Clip embeddings as a Parquet file with a row for each caption."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from ..files import written_whole
from .embed_readable import distinct_rows, embed_readable
from .encoders import encoder_of


def embed_captions(model: Any, processor: Any, dataset: Dataset, path: str | os.PathLike, batch_size: int = 32) -> int:
    """
    Writes the embeddings of the clips of a SurgLaVi dataset as Parquet, and returns how many: `caption_id` (int64),
    `embedding` (float16, `projection_dim` of them), `model_id`, `model_revision` (strings; the revision is the commit
    on the Hub, or a digest of the weights). A clip is embedded once, whatever the number of its captions; clips that
    cannot be read are left out with a warning. What was embedded before it was stopped is not embedded again.

    Args:
        model, processor: As of [`embed_clips`].
        dataset: Rows of SurgLaVi.
        path: File to write; must not exist.
        batch_size: Clips a forward pass.

    Raises:
        FileExistsError: there is such a file.
        ValueError: there are no clips, or none can be read.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} is there already; name a new file")
    first = distinct_rows(dataset)
    parts = path.with_name(f".{path.name}-parts")
    rows, embeds = embed_readable(model, processor, dataset.select(first), parts, batch_size)
    intervals = list(zip(dataset["video_name"], dataset["start_time"], dataset["end_time"], strict=True))
    place = {intervals[first[row]]: index for index, row in enumerate(rows)}
    captions = np.array([row for row, interval in enumerate(intervals) if interval in place])
    of_caption = embeds[[place[intervals[row]] for row in captions]].astype(np.float16)
    if not np.isfinite(of_caption).all():
        raise ValueError(f"embeddings up to {np.abs(embeds).max():.3g} do not fit float16; the model is not usable")
    about = encoder_of(model, processor).describe()
    table = pa.table(
        {
            "caption_id": pa.array(np.array(dataset["caption_id"])[captions], pa.int64()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(of_caption.reshape(-1)), of_caption.shape[1]),
            "model_id": pa.array([about["name"]] * len(captions), pa.string()),
            "model_revision": pa.array(
                [about["revision"] or f"weights {about['weights_sha256']}"] * len(captions), pa.string()
            ),
        }
    )
    with written_whole(path) as beside:
        pq.write_table(table, beside)
    shutil.rmtree(parts)
    return len(captions)
