# SPDX-License-Identifier: Apache-2.0
"""
What was asked and answered of a corpus: one SQLite file. What is in it is never asked again, and everything that the
stages found can be told from it.
"""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from threading import RLock
from typing import Any

from .questions import Question, Reply

LEDGER_NAME = "ledger.db"
_VERSION = 1
_SCHEMA = """
    CREATE TABLE requests(
        key TEXT PRIMARY KEY, stage TEXT NOT NULL, prompt TEXT NOT NULL, model TEXT NOT NULL, input TEXT NOT NULL,
        video TEXT NOT NULL, units INTEGER NOT NULL, correction INTEGER NOT NULL, bytes INTEGER NOT NULL,
        request TEXT NOT NULL, asked_at TEXT, supposed_cost FLOAT NOT NULL, answered_at TEXT, outcome TEXT,
        answer TEXT, input_tokens INTEGER, output_tokens INTEGER, cost FLOAT, seconds FLOAT) WITHOUT ROWID;
    CREATE TABLE failures(
        failure_id INTEGER PRIMARY KEY, key TEXT NOT NULL, at TEXT NOT NULL, what TEXT NOT NULL,
        supposed_cost FLOAT NOT NULL);
    CREATE TABLE stages(stage TEXT PRIMARY KEY, settings TEXT NOT NULL);
    CREATE TABLE servers(server TEXT PRIMARY KEY, agreed_at TEXT NOT NULL);
    CREATE TABLE batches(
        batch_id TEXT PRIMARY KEY, server TEXT NOT NULL, keys TEXT NOT NULL, sent_at TEXT NOT NULL, ended TEXT);
    CREATE TABLE views(
        model TEXT NOT NULL, video TEXT NOT NULL, start_time FLOAT NOT NULL, end_time FLOAT NOT NULL,
        endoscopic FLOAT, surgical FLOAT, problem TEXT, PRIMARY KEY (model, video, start_time, end_time))
        WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Usage:
    """
    Args:
        input_tokens, output_tokens: As the server counted them; None where it did not.
        cost: At the prices of then, 0 where none were given.
        seconds: That the answer took.
    """

    input_tokens: int | None
    output_tokens: int | None
    cost: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Spent:
    """
    Sums over the requests of a stage, or of all.

    Args:
        questions: That were answered, of these `first` as they were first put; the others told what was wrong.
        units: Sentences or segments of the first.
        first_bytes: Of the first.
        bytes: Of all.
        input_tokens, output_tokens: Of all.
        counted: Answers whose server counted tokens.
        cost: Of all.
        supposed_cost: At most, of what may have been paid without an answer: a connection was cut, or the run killed.
    """

    questions: int = 0
    first: int = 0
    units: int = 0
    first_bytes: int = 0
    bytes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    counted: int = 0
    cost: float = 0.0
    supposed_cost: float = 0.0


class Ledger:
    """
    The ledger of a corpus; several threads may use it, one process writes.

    Args:
        path: The file, made where it is absent.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no ledger, or of another version.
    """

    def __init__(self, path: str | os.PathLike):
        self.path, self._lock = Path(path), RLock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
            with self._lock:
                self._open()
        except sqlite3.OperationalError as error:
            raise OSError(
                f"ledger {self.path} cannot be opened ({error}); see whether another program has it"
            ) from error
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"{self.path} is not a readable SQLite database ({error}); put a copy of it there"
            ) from error

    def _open(self) -> None:
        run = self._connection.execute
        ((version,),) = run("PRAGMA user_version")
        tables = {name for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version not in (0, _VERSION) or (version == 0 and tables):
            raise ValueError(f"{self.path} is no ledger of version {_VERSION} (found {version}); move it away")
        if not tables:
            run("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                if statement.strip():
                    run(statement)
            run(f"PRAGMA user_version = {_VERSION}")
            run("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, statement: str, values: Iterable[Any] = ()) -> list[tuple]:
        with self._writing():
            return self._connection.execute(statement, tuple(values)).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Holds the lock. Raises OSError where the file cannot be written, which does not mean that it is damaged."""
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                raise OSError(
                    f"ledger {self.path} cannot be written ({error}); make room, or see whether the disk can be "
                    "written to, then go on: what is in it is kept"
                ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written within it is there, or nothing."""
        with self._writing():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    # Questions

    def reply(self, key: str) -> Reply | None:
        """Returns what came back of a question, None where nothing did yet."""
        rows = self._run("SELECT outcome, answer FROM requests WHERE key = ? AND outcome IS NOT NULL", (key,))
        return Reply(rows[0][0], rows[0][1] or "") if rows else None

    def ask(self, key: str, question: Question, model: str, supposed_cost: float) -> None:
        """Notes that a question is about to be sent, and what it can cost at most."""
        body = question.body()
        values = (
            *(key, question.stage, question.prompt.identity, model, question.input_digest(), question.video),
            *(question.units, len(question.corrections), len(body.encode("utf-8", "surrogatepass"))),
            *(body.encode("utf-8", "replace").decode(), _now(), supposed_cost),
        )
        with self._transaction():
            # What an earlier run asked and got no answer to may have been paid all the same.
            rows = self._run("SELECT supposed_cost FROM requests WHERE key = ? AND asked_at IS NOT NULL", (key,))
            for (earlier,) in rows:
                self._fail(key, "no answer before the run ended", earlier)
            marks = ", ".join("?" * len(values))
            self._connection.execute(
                "INSERT OR REPLACE INTO requests(key, stage, prompt, model, input, video, units, correction, bytes, "
                f"request, asked_at, supposed_cost) VALUES ({marks})",
                values,
            )

    def answer(self, key: str, reply: Reply, usage: Usage) -> None:
        """Keeps what came back of a question that was noted."""
        text = reply.text.encode("utf-8", "replace").decode()
        self._run(
            "UPDATE requests SET answered_at = ?, outcome = ?, answer = ?, input_tokens = ?, output_tokens = ?, "
            "cost = ?, seconds = ? WHERE key = ?",
            (
                *(_now(), reply.outcome, text, usage.input_tokens, usage.output_tokens, usage.cost, usage.seconds),
                key,
            ),
        )

    def fail(self, key: str, what: str, supposed_cost: float = 0.0) -> None:
        """Notes that a question had no answer this time, why, and what may have been paid for it."""
        with self._transaction():
            self._fail(key, what, supposed_cost)
            # It is on its way no more, and what it may have cost is the failure's.
            self._connection.execute("UPDATE requests SET asked_at = NULL, supposed_cost = 0 WHERE key = ?", (key,))

    def _fail(self, key: str, what: str, supposed_cost: float) -> None:
        self._connection.execute(
            "INSERT INTO failures(key, at, what, supposed_cost) VALUES (?, ?, ?, ?)",
            (key, _now(), what, supposed_cost),
        )

    def forget_unanswered(self, keys: Iterable[str]) -> None:
        """Takes back that questions were about to be sent: they were not."""
        for key in keys:
            self._run("DELETE FROM requests WHERE key = ? AND outcome IS NULL", (key,))

    def ask_again(self, stage: str, model: str, keys: Iterable[str]) -> int:
        """
        Forgets replies that were no answers, of a stage and a model, and those of some other questions; what they cost
        stays counted. Returns how many there were.
        """
        with self._transaction():
            rows = self._run(
                "SELECT key, cost FROM requests WHERE stage = ? AND model = ? AND outcome != 'answered'",
                (stage, model),
            )
            for key in keys:
                rows += self._run("SELECT key, cost FROM requests WHERE key = ? AND outcome = 'answered'", (key,))
            for key, cost in rows:
                self._fail(key, "no usable answer, asked again", cost or 0.0)
                self._connection.execute(
                    "UPDATE requests SET outcome = NULL, answer = NULL, asked_at = NULL, supposed_cost = 0, "
                    "cost = NULL WHERE key = ?",
                    (key,),
                )
        return len(rows)

    def spent(self, stage: str | None = None, model: str | None = None) -> Spent:
        """Returns sums over what was asked, of a stage and of a model where they are given."""
        where = "WHERE (?1 IS NULL OR stage = ?1) AND (?2 IS NULL OR model = ?2)"
        ((*sums, cost),) = self._run(
            "SELECT COUNT(*), SUM(correction = 0), SUM((correction = 0) * units), SUM((correction = 0) * bytes), "
            "SUM(bytes), SUM(input_tokens), SUM(output_tokens), COUNT(input_tokens), SUM(cost) FROM requests "
            f"{where} AND outcome IS NOT NULL",
            (stage, model),
        )
        ((open_cost,),) = self._run(
            f"SELECT SUM(supposed_cost) FROM requests {where} AND outcome IS NULL", (stage, model)
        )
        ((failed_cost,),) = self._run(
            f"SELECT SUM(supposed_cost) FROM failures WHERE key IN (SELECT key FROM requests {where})", (stage, model)
        )
        return Spent(*(value or 0 for value in sums), cost or 0.0, (open_cost or 0.0) + (failed_cost or 0.0))

    def failures(self, stage: str | None = None) -> Counter[str]:
        """Returns how often questions had no answer at once, by why."""
        return Counter(
            dict(
                self._run(
                    "SELECT what, COUNT(*) FROM failures WHERE (?1 IS NULL OR key IN (SELECT key FROM requests WHERE "
                    "stage = ?1)) GROUP BY what ORDER BY COUNT(*) DESC",
                    (stage,),
                )
            )
        )

    def outcomes(self, stage: str) -> Counter[str]:
        """Returns how many questions of a stage had which outcome."""
        return Counter(
            dict(
                self._run(
                    "SELECT coalesce(outcome, 'not answered yet'), COUNT(*) FROM requests WHERE stage = ? GROUP BY 1",
                    (stage,),
                )
            )
        )

    # What stages were run with

    def settings(self, stage: str) -> dict[str, Any] | None:
        """Returns what a stage was run with last, None where it never was."""
        rows = self._run("SELECT settings FROM stages WHERE stage = ?", (stage,))
        return json.loads(rows[0][0]) if rows else None

    def set_settings(self, stage: str, settings: Mapping[str, Any]) -> None:
        """Notes what a stage is run with from now on."""
        self._run("INSERT OR REPLACE INTO stages VALUES (?, ?)", (stage, json.dumps(settings, ensure_ascii=False)))

    def agreed(self, server: str) -> bool:
        """Whether somebody agreed that texts go to a server."""
        return bool(self._run("SELECT 1 FROM servers WHERE server = ?", (server,)))

    def agree(self, server: str) -> None:
        """Notes that somebody agreed that texts go to a server."""
        self._run("INSERT OR REPLACE INTO servers VALUES (?, ?)", (server, _now()))

    # Batches

    def open_batches(self, server: str) -> dict[str, list[str]]:
        """Returns the keys of the questions of batches that a server has not ended, by the batch's id."""
        rows = self._run(
            "SELECT batch_id, keys FROM batches WHERE server = ? AND ended IS NULL ORDER BY sent_at", (server,)
        )
        return {batch_id: json.loads(keys) for batch_id, keys in rows}

    def open_batch(self, batch_id: str, server: str, keys: list[str]) -> None:
        """Notes that a batch was sent."""
        self._run("INSERT INTO batches VALUES (?, ?, ?, ?, NULL)", (batch_id, server, json.dumps(keys), _now()))

    def end_batch(self, batch_id: str, how: str) -> None:
        """Notes that all of a batch was taken up."""
        self._run("UPDATE batches SET ended = ? WHERE batch_id = ?", (how, batch_id))

    # What a model sees

    def view(self, model: str, video: str, start: float, end: float) -> tuple[float | None, float | None, str] | None:
        """Returns how endoscopic and how surgical a clip is, and why not, where it cannot be read; None if unknown."""
        rows = self._run(
            "SELECT endoscopic, surgical, coalesce(problem, '') FROM views WHERE model = ? AND video = ? AND "
            "start_time = ? AND end_time = ?",
            (model, video, start, end),
        )
        return rows[0] if rows else None

    def add_views(
        self, model: str, video: str, rows: Iterable[tuple[float, float, float | None, float | None, str | None]]
    ) -> None:
        """Keeps what a model sees in clips of a video: start, end, endoscopic, surgical, problem."""
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?, ?, ?, ?)", [(model, video, *row) for row in rows]
            )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
