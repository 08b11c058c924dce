# SPDX-License-Identifier: Apache-2.0
import dataclasses
import sqlite3

import pytest

from surglavi_hf.annotate.ledger import Ledger, Usage
from surglavi_hf.annotate.questions import Reply

from .test_questions import QUESTION

KEY = QUESTION.key("model")


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "new" / "ledger.db") as ledger:
        yield ledger


def test_an_answer_is_kept(ledger):
    assert ledger.reply(KEY) is None
    ledger.ask(KEY, QUESTION, "model", 0.5)
    assert ledger.reply(KEY) is None
    ledger.answer(KEY, Reply("answered", '{"number": 2}'), Usage(10, 3, 0.25, 1.5))
    assert ledger.reply(KEY) == Reply("answered", '{"number": 2}')
    with Ledger(ledger.path) as other:  # on disk, for whoever comes
        assert other.reply(KEY) == Reply("answered", '{"number": 2}')


def test_what_was_spent(ledger):
    again = QUESTION.corrected("{}", "wrong")
    other = dataclasses.replace(QUESTION, content={"number": 1})
    for question, usage in ((QUESTION, Usage(10, 3, 0.25)), (again, Usage(20, 4, 0.5))):
        ledger.ask(question.key("model"), question, "model", 1.0)
        ledger.answer(question.key("model"), Reply("answered", "{}"), usage)
    ledger.ask(other.key("model"), other, "model", 2.0)
    spent = ledger.spent("segment", "model")
    assert (spent.questions, spent.first, spent.units) == (2, 1, 2)
    assert (spent.input_tokens, spent.output_tokens, spent.counted) == (30, 7, 2)
    assert (spent.first_bytes, spent.bytes) == (len(QUESTION), len(QUESTION) + len(again))
    assert (spent.cost, spent.supposed_cost) == (0.75, 2.0)
    assert ledger.spent() == spent
    assert ledger.spent("filter").questions == ledger.spent("segment", "another").questions == 0
    assert ledger.outcomes("segment") == {"answered": 2, "not answered yet": 1}


def test_what_a_stopped_run_asked_may_have_been_paid(ledger):
    ledger.ask(KEY, QUESTION, "model", 2.0)
    with Ledger(ledger.path) as later:
        assert later.spent().supposed_cost == 2.0
        later.ask(KEY, QUESTION, "model", 3.0)
        assert later.spent().supposed_cost == 5.0
        assert later.failures() == {"no answer before the run ended": 1}
        later.answer(KEY, Reply("answered", "{}"), Usage(1, 1, 1.0))
        assert (later.spent().cost, later.spent().supposed_cost) == (1.0, 2.0)


def test_failures(ledger):
    ledger.ask(KEY, QUESTION, "model", 2.0)
    ledger.fail(KEY, "429")
    ledger.ask(KEY, QUESTION, "model", 2.0)
    ledger.fail(KEY, "connection cut", 2.0)
    ledger.ask(KEY, QUESTION, "model", 2.0)
    ledger.answer(KEY, Reply("answered", "{}"), Usage(1, 1, 1.0))
    assert ledger.failures("segment") == {"429": 1, "connection cut": 1}
    assert ledger.spent().supposed_cost == 2.0


def test_half_a_character(ledger):
    question = dataclasses.replace(QUESTION, content={"title": "\ud800"})
    ledger.ask(question.key("model"), question, "model", 0.0)
    ledger.answer(question.key("model"), Reply("answered", "\udfff"), Usage(1, 1))
    assert ledger.reply(question.key("model")) == Reply("answered", "?")


def test_settings_and_servers(ledger):
    assert ledger.settings("segment") is None
    ledger.set_settings("segment", {"model": "ä"})
    ledger.set_settings("segment", {"model": "b"})
    assert ledger.settings("segment") == {"model": "b"}
    assert not ledger.agreed("https://example.org/v1")
    ledger.agree("https://example.org/v1")
    assert ledger.agreed("https://example.org/v1")
    assert not ledger.agreed("https://example.org/v2")


def test_views(ledger):
    assert ledger.view("model", "video", 1.0, 2.5) is None
    ledger.add_views("model", "video", [(1.0, 2.5, 0.25, 0.5, None), (3.0, 4.0, None, None, "cannot be read")])
    assert ledger.view("model", "video", 1.0, 2.5) == (0.25, 0.5, "")
    assert ledger.view("model", "video", 3.0, 4.0) == (None, None, "cannot be read")
    assert ledger.view("another", "video", 1.0, 2.5) is None


def test_other_files(tmp_path):
    text = tmp_path / "text.db"
    text.write_text("no database, and longer than a header of SQLite would be, which has a hundred bytes or more.")
    with pytest.raises(ValueError, match=r"text\.db is not a readable SQLite database"):
        Ledger(text)
    for name, statement in (("tables", "CREATE TABLE captions(a)"), ("newer", "PRAGMA user_version = 7")):
        path = tmp_path / f"{name}.db"
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.close()
        with pytest.raises(ValueError, match=f"{name}.db is no ledger of version 1"):
            Ledger(path)
    with pytest.raises(OSError, match="cannot be opened"):
        Ledger(tmp_path)


def test_a_full_disk_is_no_damage(ledger):
    ledger.ask(KEY, QUESTION, "model", 0.0)
    ledger.answer(KEY, Reply("answered", "kept"), Usage(1, 1))
    ((pages,),) = ledger._run("PRAGMA page_count")
    ledger._run(f"PRAGMA max_page_count = {pages}")
    other = dataclasses.replace(QUESTION, content={"text": "a" * 100_000})
    for _ in range(2):
        with pytest.raises(OSError, match=r"ledger\.db cannot be written \(database or disk is full\); make room"):
            ledger.ask(other.key("model"), other, "model", 0.0)
    assert ledger.reply(KEY) == Reply("answered", "kept")
    ledger._run("PRAGMA max_page_count = 100000")
    ledger.ask(other.key("model"), other, "model", 0.0)
    assert ledger.outcomes("segment") == {"answered": 1, "not answered yet": 1}


def test_what_is_asked_again_stays_paid(ledger):
    questions = [dataclasses.replace(QUESTION, content={"at": at}) for at in range(3)]
    for question, outcome in zip(questions, ("answered", "refused", "answered"), strict=True):
        ledger.ask(question.key("model"), question, "model", 2.0)
        ledger.answer(question.key("model"), Reply(outcome, "{}"), Usage(5, 5, 1.0))
    assert ledger.ask_again("segment", "another", []) == 0
    assert ledger.ask_again("segment", "model", [questions[2].key("model"), "no such key"]) == 2
    assert [ledger.reply(one.key("model")) is None for one in questions] == [False, True, True]
    spent = ledger.spent()
    assert (spent.cost, spent.supposed_cost) == (1.0, 2.0)
    assert ledger.failures() == {"no usable answer, asked again": 2}
