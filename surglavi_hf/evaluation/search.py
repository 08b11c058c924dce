# SPDX-License-Identifier: Apache-2.0
"""Clips found by a text: an index of clip embeddings (FAISS, through datasets) in a folder."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, load_from_disk

from ..data import Clip, find_youtube_id
from ..files import digest, digest_of, write_text
from .embed import embed_texts, list_unreadable
from .embed_readable import claimed, distinct_rows, embed_readable
from .encoders import encoder_of
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
    model: Any,
    processor: Any,
    dataset: Dataset,
    folder: str | os.PathLike,
    batch_size: int = 32,
    selection: str = "",
    strict: bool = False,
) -> int:
    """
    Embeds the clips of a SurgLaVi dataset into an index; returns how many are in it. Rows of one video and interval
    are one clip. Clips that cannot be read are left out and listed under `unreadable` in `index.json`. What was
    embedded before it was stopped is not embedded again.

    Args:
        model: Has `get_video_features` and `get_text_features`, as [`SurgCLIPModel`].
        processor: A SurgCLIPProcessor.
        dataset: Rows of SurgLaVi.
        folder: New, or of an index that was not finished.
        batch_size: Clips a forward pass.
        selection: Which clips these are, for `read_index`.
        strict: Raise at the first clip that cannot be read.

    Raises:
        FileExistsError: the folder has an index, or other files, or another process builds it.
        ValueError: there are no clips, none can be read, or a part is damaged.
        VideoDecodeError: a clip cannot be read, with `strict`.
    """
    import faiss

    folder = Path(folder)
    dataset = dataset.select_columns([name for name in COLUMNS if name in dataset.column_names])
    dataset = dataset.select(distinct_rows(dataset))
    _check_free(folder)
    with claimed(folder / _PARTS) as parts:
        _check_free(folder)  # another process may have finished it since
        found = embed_readable(model, processor, dataset, parts, batch_size, strict)
        indexed = dataset.select(found.rows).add_column("embedding", list(found.embeds.numpy()))
        indexed.save_to_disk(folder / "clips")
        indexed.add_faiss_index("embedding", metric_type=faiss.METRIC_INNER_PRODUCT)
        indexed.save_faiss_index("embedding", folder / "clips.faiss")
        about: dict[str, Any] = {"num_clips": len(found.rows), "selection": selection}
        about["trained_on_videos"] = trained_overlap(model, dataset)
        about |= encoder_of(model, processor).describe()
        about["files"] = {name: digest(folder / name) for name in _files(folder)}
        about["unreadable"] = list_unreadable(dataset, found.unreadable)
        about["digest"] = _digest(about)
        # Last: a folder without it is not finished.
        write_text(folder / "index.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
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
        model, processor: Those the index was made with.
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


def read_index(folder: str | os.PathLike) -> dict[str, Any]:
    """
    Returns what is known of a finished index: `num_clips`, `selection`, `trained_on_videos` (as [`trained_overlap`]),
    `unreadable`, its model, and digests of its `files`.

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
        clip=row["clip"],
    )
