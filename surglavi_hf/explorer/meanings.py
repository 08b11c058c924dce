# SPDX-License-Identifier: Apache-2.0
"""Clips found by meaning: embeddings of clips, compared with a text, with another clip, or with clips told alike."""

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from datasets import load_from_disk

from ..data import Embeddings
from ..data.embeddings import HUB
from ..files import digest_of, written_whole
from ..media.library import content_identity
from .corpus import DELETED, Corpus
from .words import WordIndex

if TYPE_CHECKING:
    from .model import TextModel

logger = logging.getLogger(__name__)

_ROWS_A_PASS = 2048  # of float16 into float32: what stays in the processor's cache
_EXAMPLES = 20


@dataclass(frozen=True)
class Query:
    """
    What clips are compared with.

    Args:
        vector: Of unit length, `np.float32` of shape `(dimension,)`.
        how: What it stands for, in a sentence for people.
        is_text: Whether it is that of a text; else of clips, and likeness is a cosine between clips.
    """

    vector: np.ndarray
    how: str
    is_text: bool


class Meanings:
    """
    Embeddings of the clips of a corpus.

    Args:
        corpus: Whose.
        words: Its index, for texts where there is no model.
        index: A folder of `surglavi search`, a file of `surglavi embed`, or `hub:ID`.
        folder: Where embeddings are kept in a form that is read at once.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another corpus.
    """

    def __init__(self, corpus: Corpus, words: WordIndex, index: str | os.PathLike, folder: Path):
        self.corpus, self.words, self.source = corpus, words, os.fspath(index)
        path = Path(index)
        if path.is_dir():
            key = _index_digest(path)
            caption_ids, vectors, self.made_with = _kept(folder, key, lambda: _read_index(path))
        elif self.source.startswith(HUB):
            caption_ids, vectors, self.made_with = _read_embeddings(self.source)
        else:
            key = content_identity(path)["digest"] if path.is_file() else ""
            caption_ids, vectors, self.made_with = _kept(folder, key, lambda: _read_embeddings(self.source))
        self._vectors = vectors
        self._norms = np.sqrt(self._products(None))
        places = _places_of(corpus.caption_id[: corpus.num_stored], caption_ids)
        # Captions of one interval are of one clip, of which an index has one.
        clip = _numbered(corpus.video, corpus.start, corpus.end)[: corpus.num_stored]
        known = np.full(clip.max(initial=-1) + 1, -1, np.int64)
        known[clip[places >= 0]] = places[places >= 0]
        self._places = known[clip]
        self._times = corpus.start[: corpus.num_stored].copy(), corpus.end[: corpus.num_stored].copy()
        known_here = int(np.isin(caption_ids, corpus.caption_id[: corpus.num_stored]).sum())
        if known_here < len(caption_ids) / 2:  # numbers of two corpora are equal by chance
            raise ValueError(
                f"{self.source} has embeddings of {len(caption_ids):,} captions, of which {known_here:,} are in "
                f"{corpus.title}; name that of this corpus"
            )

    def __len__(self) -> int:
        return int(np.count_nonzero(self._places >= 0))

    @property
    def dimension(self) -> int:
        return self._vectors.shape[1]

    def places(self) -> np.ndarray:
        """Returns of each row of the corpus its embedding, -1 where there is none or the clip was moved since."""
        corpus = self.corpus
        count = corpus.num_stored
        found = np.full(len(corpus), -1, np.int64)
        same = (corpus.start[:count] == self._times[0]) & (corpus.end[:count] == self._times[1])
        found[:count] = np.where(same, self._places, -1)
        return found

    def _products(self, vector: np.ndarray | None, places: np.ndarray | None = None) -> np.ndarray:
        """Of each embedding the product with a vector, or with itself."""
        vectors = self._vectors if places is None else self._vectors[places]
        found = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), _ROWS_A_PASS):
            part = vectors[start : start + _ROWS_A_PASS].astype(np.float32)
            found[start : start + len(part)] = (part * part).sum(axis=1) if vector is None else part @ vector
        return found

    def query_of_text(self, text: str, model: "TextModel | None", without_video: int | None = None) -> Query:
        """
        Returns what a text is compared by: its own embedding where there is a model; else the mean of the clips whose
        captions have its words, which needs none.

        Args:
            text: Any.
            model: Of the embeddings.
            without_video: Place of a video whose captions are not to be looked into.

        Raises:
            ValueError: no caption has such words.
        """
        if model is not None and (vector := model.text_vector(text, "caption")) is not None:
            return Query(_unit(vector), f"by the model {model.name}", True)
        rows = self._rows_with_words(text, without_video)
        if not len(rows):
            raise ValueError(
                f"no clip's caption has the words of {text[:60]!r}, and there is no model here; start with --model, "
                "or use other words"
            )
        how = f"no model here: the mean of the {len(rows)} clips whose captions have these words best"
        return Query(self._mean(self.places()[rows]), how, False)

    def _rows_with_words(self, text: str, without_video: int | None) -> np.ndarray:
        corpus = self.corpus
        usable = (self.places() >= 0) & (corpus.state & DELETED == 0) & ~corpus.taken_down
        if without_video is not None:
            usable &= corpus.video != without_video
        for any_word in (False, True):  # all of them where there are such captions
            found = self.words.find(text, any_word).rows
            if usable[found].any():
                break
        return found[usable[found]][:_EXAMPLES]

    def query_of_clip(self, row: int) -> Query:
        """Returns a clip to compare others with. Raises ValueError where it has no embedding."""
        place = self.places()[row]
        if place < 0:
            raise ValueError(f"the clip of caption {self.corpus.caption_id[row]} has no embedding in {self.source}")
        return Query(self._mean(np.array([place])), "clips like this one, by cosine similarity", False)

    def _mean(self, places: np.ndarray) -> np.ndarray:
        vectors = self._vectors[places].astype(np.float32)
        return _unit((vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)).mean(axis=0))

    def scores(self, query: Query, rows: np.ndarray | None = None) -> np.ndarray:
        """
        Returns how much rows of the corpus are like a query, NaN of those without embedding: cosine similarities.

        Args:
            rows: All by default.
        """
        places = self.places()
        if rows is None:
            products = self._products(query.vector)
            if not query.is_text:
                products /= np.maximum(self._norms, 1e-6)
            return np.where(places >= 0, products[places], np.nan).astype(np.float32)
        wanted = places[rows]
        products = self._products(query.vector, wanted)
        if not query.is_text:
            products /= np.maximum(self._norms[wanted], 1e-6)
        return np.where(wanted >= 0, products, np.nan).astype(np.float32)


_Read = tuple[np.ndarray, np.ndarray, dict[str, Any]]  # numbers of captions, float16 vectors, and their model


def _read_embeddings(source: str) -> _Read:
    found = Embeddings.load(source)
    pa.default_memory_pool().release_unused()  # which reading took
    return found.caption_id, found.embedding, {"name": found.model_id, "revision": found.model_revision}


def _index_digest(folder: Path) -> str:
    """Returns what tells the index of `surglavi search` in a folder from others. Raises as [`check_index`]."""
    from ..evaluation.search import read_index  # which needs PyTorch

    return str(read_index(folder)["digest"])


def _read_index(folder: Path) -> _Read:
    from ..evaluation.search import check_index

    about = check_index(folder)
    clips = load_from_disk(folder / "clips").data.table
    vectors = [
        np.stack(part.to_numpy(zero_copy_only=False)).astype(np.float16)
        for part in clips["embedding"].chunks
        if len(part)
    ]
    named = {name: about.get(name) for name in ("name", "weights_sha256", "encoder_sha256")}
    return clips["caption_id"].to_numpy(), np.concatenate(vectors), named


def _kept(folder: Path, key: str, read: Callable[[], _Read]) -> _Read:
    """What is read, from a file that is mapped into memory: to read 240,000 embeddings from Parquet takes seconds."""
    path = folder / f"{key}.arrow"
    if key and (found := _mapped(path)) is not None:
        return found
    caption_ids, vectors, made_with = read()
    folder.mkdir(parents=True, exist_ok=True)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    about = json.dumps(made_with)
    metadata = {"made_with": about, "digest": digest_of(about, caption_ids, vectors)}
    table = pa.table({"caption_id": pa.array(caption_ids, pa.int64()), "vector": flat}).replace_schema_metadata(
        metadata
    )
    with (
        written_whole(path) as beside,
        pa.OSFile(str(beside), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)
    return _mapped(path) or (caption_ids, vectors, made_with)


def _mapped(path: Path) -> _Read | None:
    """What is in such a file; None where there is none, or it is damaged."""
    if not path.is_file():
        return None
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        (caption_ids,), (vectors,) = table["caption_id"].chunks, table["vector"].chunks
        about, digest = (table.schema.metadata[name].decode() for name in (b"made_with", b"digest"))
        found = caption_ids.to_numpy(), vectors.flatten().to_numpy().reshape(len(table), -1)
        if digest_of(about, *found) != digest:
            raise ValueError("not as it was written")
        return *found, json.loads(about)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s cannot be read (%s); making it again", path, error)
        return None


def _numbered(*columns: np.ndarray) -> np.ndarray:
    """Numbers rows so that those that are equal in all columns, and no others, have one number."""
    order = np.lexsort(columns)
    differs = np.any([column[order][1:] != column[order][:-1] for column in columns], axis=0)
    found = np.empty(len(order), np.int64)
    found[order] = np.cumsum(np.append(False, differs))[: len(order)]
    return found


def _places_of(wanted: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Of each wanted number its place among the known ones, -1 where it is none."""
    order = np.argsort(known)
    found = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
    return np.where(known[found] == wanted, found, -1)


def _unit(vector: np.ndarray) -> np.ndarray:
    vector = np.asarray(vector, np.float32).reshape(-1)
    return vector / max(float(np.linalg.norm(vector)), 1e-6)
