# SPDX-License-Identifier: Apache-2.0
"""Captions found by words: an index (SQLite's FTS5) in a file of its own; the corpus is not written to."""

import logging
import re
import sqlite3
import threading
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..files import written_whole
from .corpus import Corpus

logger = logging.getLogger(__name__)

# English endings do not count ("dissect" finds "dissecting"), nor do accents.
_TABLE = (
    "CREATE VIRTUAL TABLE words USING fts5(caption, narration, content='', "
    "tokenize='porter unicode61 remove_diacritics 2')"
)
_VERSION = 1  # of this file's layout
MOST_RANKED = 10_000  # to rank one takes 5 µs; of more than that, every second caption has the word
_LONGEST_QUERY, _MOST_WORDS = 1000, 40
_LEAST_BEGINNING = 2  # letters before a *
_KEPT_QUERIES = 32
_TERM = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True)
class FoundRows:
    """
    Args:
        rows: Of the corpus, best first where they are ranked, else in the order of the corpus.
        ranked: Whether they are: of very many no one is better than another.
    """

    rows: np.ndarray
    ranked: bool


class WordIndex:
    """
    The index of a corpus, made where there is none of it as it is. Captions that reviews changed are searched as they
    are now.

    Args:
        corpus: Whose captions.
        path: The file, made with its folder.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, corpus: Corpus, path: Path):
        self.corpus, self.path = corpus, path
        self._local = threading.local()
        self._kept: OrderedDict[tuple, FoundRows] = OrderedDict()
        self._lock = threading.Lock()
        self._changed: tuple[int, sqlite3.Connection] | None = None
        if not self._is_of(corpus):
            self._build()

    def _is_of(self, corpus: Corpus) -> bool:
        if not self.path.is_file():
            return False
        try:
            with closing(self._open()) as connection:
                return connection.execute("SELECT version, fingerprint FROM made_of").fetchone() == (
                    _VERSION,
                    corpus.fingerprint,
                )
        except sqlite3.DatabaseError:
            logger.warning("%s cannot be read; making it again", self.path)
            return False

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)

    def _build(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(self.path) as beside:
            beside.unlink(missing_ok=True)
            with closing(sqlite3.connect(beside)) as connection:
                connection.execute("PRAGMA journal_mode = OFF")  # it is written whole, or again
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute(_TABLE)
                row = 0
                with tqdm(total=self.corpus.num_stored, desc="index words", unit=" caption", delay=2) as bar:
                    for texts in self.corpus.texts():
                        captions, narrations = (values.to_pylist() for values in texts)
                        # A narration that stands in for a caption is said once.
                        connection.executemany(
                            "INSERT INTO words(rowid, caption, narration) VALUES (?, ?, ?)",
                            [
                                (row + at, caption, None if narration == caption else narration)
                                for at, (caption, narration) in enumerate(zip(captions, narrations, strict=True))
                            ],
                        )
                        row += len(captions)
                        bar.update(len(captions))
                connection.execute("INSERT INTO words(words) VALUES ('optimize')")
                connection.execute("CREATE TABLE made_of(version INTEGER, fingerprint TEXT)")
                connection.execute("INSERT INTO made_of VALUES (?, ?)", (_VERSION, self.corpus.fingerprint))
                connection.commit()

    def find(self, query: str, any_word: bool = False) -> FoundRows:
        """
        Returns the rows whose caption or narration has all words of a query; words in quotes follow each other, and
        `dissect*` is the beginning of a word. Up to 10,000 are ranked, by BM25.

        Args:
            query: What is typed.
            any_word: One of its words is enough, of those that are not in more captions than can be ranked.

        Raises:
            ValueError: it has no words, or too many.
        """
        terms = terms_of(query)
        if any_word:
            rare = [term for term in terms if len(self._keep(term).rows) <= MOST_RANKED // 4]
            terms = [" OR ".join(rare or terms)]
        return self._keep(" AND ".join(terms))

    def _keep(self, match: str) -> FoundRows:
        key = (match, self.corpus.version)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self._find(match)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > _KEPT_QUERIES:
                self._kept.popitem(last=False)
        return found

    def _find(self, match: str) -> FoundRows:
        try:
            return self._ask(match)
        except sqlite3.DatabaseError as error:  # somebody deleted or damaged it meanwhile
            logger.warning("%s: %s; making it again", self.path, error)
            with self._lock:
                if not self._is_of(self.corpus):
                    self._build()
            self._local.connection = None
            return self._ask(match)

    def _ask(self, match: str) -> FoundRows:
        if getattr(self._local, "connection", None) is None:
            self._local.connection = self._open()
        connection = self._local.connection
        many = "SELECT 1 FROM words WHERE words MATCH ? LIMIT 1 OFFSET ?"
        ranked = connection.execute(many, (match, MOST_RANKED)).fetchone() is None
        query = f"SELECT rowid FROM words WHERE words MATCH ? {'ORDER BY rank' if ranked else ''}"
        rows = np.fromiter((row for (row,) in connection.execute(query, (match,))), np.int64)
        changed = self.corpus.changed_rows()
        if changed:
            rows = rows[~np.isin(rows, list(changed))]
            with self._lock:
                now = [row for (row,) in self._of_changed().execute(query, (match,))]
            rows = np.concatenate([np.array(now, np.int64), rows])
        return FoundRows(rows, ranked)

    def _of_changed(self) -> sqlite3.Connection:
        """An index of the captions that reviews changed, in memory."""
        version = self.corpus.version
        if self._changed is None or self._changed[0] != version:
            connection = sqlite3.connect(":memory:", check_same_thread=False)
            connection.execute(_TABLE)
            connection.executemany(
                "INSERT INTO words(rowid, caption, narration) VALUES (?, ?, ?)",
                [(row, self.corpus.text(row), self.corpus.narration(row)) for row in self.corpus.changed_rows()],
            )
            self._changed = version, connection
        return self._changed[1]


def terms_of(query: str) -> list[str]:
    """
    Returns the words and phrases of a query in FTS5's language: nothing in them is an operator.

    Raises:
        ValueError: it has no words, or too many.
    """
    if len(query) > _LONGEST_QUERY:
        raise ValueError(f"a search of {len(query):,} characters, expected at most {_LONGEST_QUERY:,}")
    terms = []
    for phrase, word in _TERM.findall(query):
        parts = re.findall(r"\w+", phrase or word)
        if parts:
            begins = "*" if word.endswith("*") else ""
            if begins and len(parts[-1]) < _LEAST_BEGINNING:
                raise ValueError(f"{word[:40]!r} begins too many words; type at least {_LEAST_BEGINNING} letters")
            terms.append('"' + " ".join(parts) + '"' + begins)
    if not terms:
        raise ValueError(f"no words in {query[:40]!r}; type some letters")
    if len(terms) > _MOST_WORDS:
        raise ValueError(f"a search of {len(terms)} words, expected at most {_MOST_WORDS}")
    return terms
