# SPDX-License-Identifier: Apache-2.0
"""Clips found by a text: an index of clip embeddings (FAISS, through datasets) in a folder."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, load_from_disk

from ..data import Clip
from ..files import write_text
from .embed import embed_texts
from .embed_readable import distinct_rows, embed_readable
from .encoders import encoder_of

COLUMNS = ("caption_id", "youtube_id", "video_name", "start_time", "end_time", "caption", "title", "clip")
_PARTS = ".surglavi-index-parts"  # of an index that is not finished


@dataclass(frozen=True)
class FoundClip:
    """
    Args:
        score: Cosine similarity to the text, averaged over the clip's frames.
        title: Of the video; empty where it is not known.
        video_name: Of the file.
        start_time, end_time: In seconds.
        caption: Of the database.
        url: Where the video can be watched from `start_time` on; None where its id is none of YouTube's.
        clip: To see its frames.
    """

    score: float
    title: str
    video_name: str
    start_time: float
    end_time: float
    caption: str
    url: str | None
    clip: Clip


def build_search_index(
    model: Any, processor: Any, dataset: Dataset, folder: str | os.PathLike, batch_size: int = 32, selection: str = ""
) -> int:
    """
    Embeds the clips of a SurgLaVi dataset into an index; returns how many are in it. Rows of one video and interval
    are one clip. Clips that cannot be read are left out, with a warning. What was embedded before it was stopped is
    not embedded again.

    Args:
        model: Has `get_video_features` and `get_text_features`, as [`SurgCLIPModel`].
        processor: A SurgCLIPProcessor.
        dataset: Rows of SurgLaVi.
        folder: New, or of an index that was not finished.
        batch_size: Clips a forward pass.
        selection: Which clips these are, for `index_selection`.

    Raises:
        FileExistsError: the folder has an index, or other files.
        ValueError: there are no clips, or none can be read.
    """
    import faiss

    folder = Path(folder)
    parts = folder / _PARTS
    if has_index(folder) or (folder.exists() and not parts.is_dir() and any(folder.iterdir())):
        raise FileExistsError(f"{folder} has an index or other files already; name a new folder")
    dataset = dataset.select_columns([name for name in COLUMNS if name in dataset.column_names])
    dataset = dataset.select(distinct_rows(dataset))
    description = encoder_of(model, processor).describe()
    rows, embeds = embed_readable(model, processor, dataset, parts, batch_size)
    indexed = dataset.select(rows).add_column("embedding", list(embeds))
    indexed.save_to_disk(folder / "clips")
    indexed.add_faiss_index("embedding", metric_type=faiss.METRIC_INNER_PRODUCT)
    indexed.save_faiss_index("embedding", folder / "clips.faiss")
    # Last: a folder without it is not finished.
    write_text(
        folder / "index.json",
        json.dumps({"num_clips": len(rows), "selection": selection, **description}, indent=2) + "\n",
    )
    shutil.rmtree(parts)
    return len(rows)


def search(model: Any, processor: Any, folder: str | os.PathLike, text: str, top: int = 5) -> list[FoundClip]:
    """
    Returns the clips of an index that are most like a text, best first.

    Args:
        model, processor: Those the index was made with.
        folder: As [`build_search_index`] wrote it.
        text: What is looked for.
        top: At most so many.

    Raises:
        FileNotFoundError: there is no finished index in the folder.
        ValueError: it was made with other weights, `text` is empty, or `top` is not positive.
    """
    folder = Path(folder)
    if not has_index(folder):
        raise FileNotFoundError(f"there is no finished search index in {folder}; build it first")
    if not text.strip() or top < 1:
        raise ValueError(f"text={text!r}, top={top}, expected words and a whole number >= 1")
    made_with = json.loads((folder / "index.json").read_text())
    weights = encoder_of(model, processor).describe()["weights_sha256"]
    if made_with["weights_sha256"] != weights:
        raise ValueError(f"{folder} was made with other weights ({made_with['name']}); name another folder")
    clips = load_from_disk(folder / "clips")
    clips.load_faiss_index("embedding", folder / "clips.faiss")
    query = embed_texts(model, processor, [text])[0].numpy()
    scores, rows = clips.search("embedding", query, k=min(top, len(clips)))
    return [_found(clips[int(row)], float(score)) for score, row in zip(scores, rows, strict=True)]


def has_index(folder: str | os.PathLike) -> bool:
    """Whether there is a finished index in a folder."""
    return (Path(folder) / "index.json").is_file()


def index_selection(folder: str | os.PathLike) -> str:
    """Returns which clips are in a finished index, as whoever built it said."""
    return json.loads((Path(folder) / "index.json").read_text())["selection"]


def _found(row: dict, score: float) -> FoundClip:
    youtube_id = row.get("youtube_id") or ""
    known = re.fullmatch(r"[\w-]{11}", youtube_id, re.ASCII)
    return FoundClip(
        score=score,
        title=row.get("title") or "",
        video_name=row["video_name"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        caption=row["caption"],
        url=f"https://youtu.be/{youtube_id}?t={int(row['start_time'])}" if known else None,
        clip=row["clip"],
    )
