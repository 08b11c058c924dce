# SPDX-License-Identifier: Apache-2.0
"""Clips found by a text: an index of clip embeddings (FAISS, through datasets) in a folder."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, load_from_disk

from ..data import Clip, Embeddings, find_youtube_id
from ..files import digest, digest_of, write_text
from .clip_embeddings import EmbeddingOptions, claimed, clips_of, distinct_rows, embed_texts
from .encoders import text_encoder_of
from .launched import Processes
from .overlap import trained_overlap

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
        clip: To see its frames; None where the index was built of embeddings alone.
    """

    score: float
    title: str
    video_name: str
    start_time: float
    end_time: float
    caption: str
    url: str | None
    clip: Clip | None


def build_search_index(
    model: Any,
    processor: Any,
    dataset: Dataset,
    folder: str | os.PathLike,
    options: EmbeddingOptions | None = None,
    selection: str = "",
    clip_embeds: Embeddings | None = None,
) -> int:
    """
    Embeds the clips of a SurgLaVi dataset into an index; returns how many are in it. Rows of one video and interval
    are one clip. Clips that cannot be read are left out and listed under `unreadable` in `index.json`. What was
    embedded before it was stopped is not embedded again. Processes that were launched together build it together.

    Args:
        model, processor: As [`zero_shot`].
        dataset: Rows of SurgLaVi.
        folder: New, or of an index that was not finished.
        options: How clips are embedded; by default as [`EmbeddingOptions`] says.
        selection: Which clips these are, for `read_index`.
        clip_embeds: Of a file or of the Hub, where they are known already: no video is read.

    Raises:
        FileExistsError: the folder has an index, or other files, or another process builds it.
        ValueError: there are no clips, none can be read or has an embedding, a part is damaged, or embeddings are of
            another model.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    import faiss

    folder, encoder, processes = Path(folder), text_encoder_of(model, processor), Processes()
    dataset = dataset.select_columns([name for name in COLUMNS if name in dataset.column_names])
    first = distinct_rows(dataset)
    processes.first(lambda: _check_free(folder))
    with claimed(folder / _PARTS) as parts:
        processes.first(lambda: _check_free(folder))  # another process may have finished it since
        found = clips_of(encoder, dataset, first, clip_embeds, options, parts)
        about: dict[str, Any] = {"num_clips": len(found.rows), "selection": selection, **found.protocol}
        about["trained_on_videos"] = trained_overlap(encoder.model, dataset)
        about |= encoder.describe()
        about["unreadable"] = found.listed

        def write() -> None:
            indexed = dataset.select(found.rows).add_column("embedding", list(found.embeds.numpy()))
            indexed.save_to_disk(folder / "clips")
            indexed.add_faiss_index("embedding", metric_type=faiss.METRIC_INNER_PRODUCT)
            indexed.save_faiss_index("embedding", folder / "clips.faiss")
            about["files"] = {name: digest(folder / name) for name in _files(folder)}
            about["digest"] = _digest(about)
            # Last: a folder without it is not finished.
            write_text(folder / "index.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")

        processes.first(write)
    return len(found.rows)


def _check_free(folder: Path) -> None:
    """Raises FileExistsError where the folder has an index, or files of something else than one."""
    if has_index(folder) or (folder.exists() and not (folder / _PARTS).is_dir() and any(folder.iterdir())):
        raise FileExistsError(f"{folder} has an index or other files already; name a new folder")


def _files(folder: Path) -> list[str]:
    """The files of an index but `index.json`."""
    return ["clips.faiss", *sorted(path.relative_to(folder).as_posix() for path in (folder / "clips").iterdir())]


def _digest(about: dict[str, Any]) -> str:
    return digest_of(json.dumps({name: value for name, value in about.items() if name != "digest"}, sort_keys=True))


def search(model: Any, processor: Any, folder: str | os.PathLike, text: str, top: int = 5) -> list[FoundClip]:
    """
    Returns the clips of an index that are most like a text, best first.

    Args:
        model, processor: As [`zero_shot`]; those the index was made with.
        folder: As [`build_search_index`] wrote it.
        text: What is looked for.
        top: At most so many.

    Raises:
        FileNotFoundError: there is no finished index in the folder.
        ValueError: it is damaged or was made with other weights, `text` is empty, or `top` is not positive.
    """
    folder = Path(folder)
    if not text.strip() or top < 1:
        raise ValueError(f"text={text!r}, top={top}, expected words and a whole number >= 1")
    made_with = check_index(folder)
    encoder = text_encoder_of(model, processor)
    about = encoder.describe()
    if any(made_with.get(name) != about.get(name) for name in ("weights_sha256", "encoder_sha256")):
        raise ValueError(f"{folder} was made with other weights ({made_with['name']}); name another folder")
    clips = load_from_disk(folder / "clips")
    clips.load_faiss_index("embedding", folder / "clips.faiss")
    query = embed_texts(encoder, None, [text])[0].numpy()
    scores, rows = clips.search("embedding", query, k=min(top, len(clips)))
    return [_found(clips[int(row)], float(score)) for score, row in zip(scores, rows, strict=True)]


def has_index(folder: str | os.PathLike) -> bool:
    """Whether there is a finished index in a folder."""
    return (Path(folder) / "index.json").is_file()


def read_index(folder: str | os.PathLike) -> dict[str, Any]:
    """
    Returns what is known of a finished index: `num_clips`, `selection`, `trained_on_videos` (as [`trained_overlap`]),
    `clip_embeddings` where they were known already, `unreadable`, its model, and digests of its `files`.

    Raises:
        FileNotFoundError: there is no finished index in the folder.
        ValueError: its description is damaged.
    """
    path = Path(folder) / "index.json"
    if not path.is_file():
        raise FileNotFoundError(f"there is no finished search index in {folder}; build it first")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about["digest"] != _digest(about):
            raise ValueError("not as it was written")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete {folder} and build the index again") from error
    return about


def check_index(folder: Path) -> dict[str, Any]:
    """
    Returns what `read_index` does, of an index whose every file is as it was written.

    Raises:
        FileNotFoundError: there is no finished index in the folder.
        ValueError: a file is damaged or not there.
    """
    about = read_index(folder)
    for name, expected in about["files"].items():
        path = folder / name
        if not path.is_file() or digest(path) != expected:
            what = "is not as it was written" if path.is_file() else "is not there"
            raise ValueError(f"{path} {what}; delete {folder} and build the index again")
    return about


def _found(row: dict, score: float) -> FoundClip:
    youtube_id = find_youtube_id(row.get("youtube_id")) or ""
    known = re.fullmatch(r"[\w-]{11}", youtube_id, re.ASCII)
    return FoundClip(
        score=score,
        title=row.get("title") or "",
        video_name=row["video_name"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        caption=row["caption"],
        url=f"https://youtu.be/{youtube_id}?t={int(row['start_time'])}" if known else None,
        clip=row.get("clip"),
    )
