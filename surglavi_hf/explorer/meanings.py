# SPDX-License-Identifier: Apache-2.0
"""Clips found by meaning: embeddings of clips, compared with a text, with another clip, or with clips told alike."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from datasets import load_from_disk

from ..data import Embeddings
from .corpus import DELETED, Corpus
from .words import WordIndex

if TYPE_CHECKING:
    from .model import TextModel

_ROWS_A_PASS = 8192  # of float16 into float32: what stays in the processor's cache
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

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, or of another corpus.
    """

    def __init__(self, corpus: Corpus, words: WordIndex, index: str | os.PathLike):
        self.corpus, self.words, self.source = corpus, words, os.fspath(index)
        if Path(index).is_dir():
            caption_ids, vectors, self.made_with = _read_index(Path(index))
        else:
            found = Embeddings.load(index)
            caption_ids, vectors = found.caption_id, found.embedding
            self.made_with = {"name": found.model_id, "revision": found.model_revision}
            self.embeddings = found
        self._vectors = vectors
        self._norms = np.sqrt(self._products(None))
        place_of = dict(zip(caption_ids.tolist(), range(len(caption_ids)), strict=True))
        stored = corpus.caption_id[: corpus.num_stored]
        places = np.array([place_of.get(number, -1) for number in stored.tolist()], np.int64)
        # Captions of one interval are of one clip, of which an index has one.
        of_clip = np.stack([corpus.video, corpus.start, corpus.end])[:, : corpus.num_stored]
        clip = np.unique(of_clip, axis=1, return_inverse=True)[1].reshape(-1)
        known = np.full(clip.max(initial=-1) + 1, -1, np.int64)
        known[clip[places >= 0]] = places[places >= 0]
        self._places = known[clip]
        self._times = corpus.start[: corpus.num_stored].copy(), corpus.end[: corpus.num_stored].copy()
        if not (self._places >= 0).any():
            raise ValueError(f"{self.source} has embeddings of no clip of {corpus.title}; name that of this corpus")

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
            return Query(_unit(vector), f"by {model.name}", True)
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


def _read_index(folder: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    from ..evaluation.search import check_index  # which needs torch

    about = check_index(folder)
    clips = load_from_disk(folder / "clips")
    column = clips.data.table["embedding"]
    vectors = [
        np.stack(chunk.to_numpy(zero_copy_only=False)).astype(np.float16) for chunk in column.chunks if len(chunk)
    ]
    return clips.data.table["caption_id"].to_numpy(), np.concatenate(vectors), about


def _unit(vector: np.ndarray) -> np.ndarray:
    vector = np.asarray(vector, np.float32).reshape(-1)
    return vector / max(float(np.linalg.norm(vector)), 1e-6)
