# SPDX-License-Identifier: Apache-2.0
"""Questions to a real server on loopback that also misbehaves."""

import dataclasses
import os
import signal
import threading
import time

import pytest

from surglavi_hf.annotate import asking
from surglavi_hf.annotate.asking import Budget, BudgetReachedError, Talk, Unfinished, hold_at_once, replay
from surglavi_hf.annotate.language_model import LanguageModel, LanguageModelError, ServerOptions
from surglavi_hf.annotate.ledger import Ledger
from surglavi_hf.annotate.questions import Unusable, ask

from .scripted_server import Faults, ScriptedServer
from .test_questions import QUESTION, Count

PRICES = {"price_input": 1000.0, "price_output": 5000.0}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(asking, "_FIRST_WAIT_S", 0.01)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def oracle(stage, request):
    return {"number": request["at"] + 1}


def options_for(server, **more):
    return ServerOptions(base_url=server.base_url, model="scripted", **more)


def talks(number, check=None, start=0):
    def talk(at):
        question = dataclasses.replace(QUESTION, video=f"video {at}", content={"at": at})
        return Talk(f"video {at}", lambda: ask(question, check or (lambda answer: None)))

    return [talk(at) for at in range(start, start + number)]


def hold(server, ledger, some, **more):
    model = LanguageModel(options_for(server, **more))
    try:
        return list(hold_at_once(some, model, ledger, "video"))
    finally:
        model.close()


def numbers(found):
    return sorted(one.number for one in found if isinstance(one, Count))


def test_every_question_is_answered_once(ledger):
    with ScriptedServer(oracle) as server:
        assert numbers(hold(server, ledger, talks(20))) == list(range(1, 21))
        assert numbers(hold(server, ledger, talks(22))) == list(range(1, 23))
        assert len(server.log) == 22
        assert not server.repeated()
        identity = options_for(server).model_identity
        assert [replay(talk, ledger, identity) for talk in talks(3)] == [Count(number=at) for at in (1, 2, 3)]
        assert isinstance(replay(talks(1, start=99)[0], ledger, identity), Unfinished)
        assert ledger.spent().input_tokens, ledger.spent().output_tokens == server.spent()


def test_the_same_question_twice_is_asked_once(ledger):
    with ScriptedServer(oracle, Faults({"slow": 1.0}, slow_s=0.1)) as server:
        assert numbers(hold(server, ledger, talks(1) * 8)) == [1] * 8
        assert len(server.log) == 1


TRANSIENT = ("429", "429 seconds", "500", "503", "408", "cut before headers", "cut in body", "html", "slow")


@pytest.mark.parametrize("kind", TRANSIENT)
def test_what_goes_wrong_once_is_asked_again(kind, ledger):
    with ScriptedServer(oracle, Faults(retry_after=0.05)) as server:
        server.fail_next(kind)
        assert numbers(hold(server, ledger, talks(3), concurrency=1)) == [1, 2, 3]
        assert len(server.log) == (3 if kind == "slow" else 4)
        assert sum(ledger.failures().values()) == (kind != "slow")


def test_all_that_can_go_wrong_at_once(ledger):
    rates = dict.fromkeys(TRANSIENT, 0.06)
    with ScriptedServer(oracle, Faults(rates, seed=3, retry_after=0.02, slow_s=0.02)) as server:
        assert numbers(hold(server, ledger, talks(60), concurrency=8)) == list(range(1, 61))
        assert not server.repeated()
        assert {record.fault for record in server.log} >= {"429", "500", "cut in body", "html"}
        assert sum(ledger.failures().values()) == len(server.log) - 60


def test_everybody_waits_as_long_as_the_server_says(ledger):
    with ScriptedServer(oracle, Faults(retry_after=0.5)) as server:
        server.fail_next("429 seconds")
        hold(server, ledger, talks(8), concurrency=2)
        refused = next(record for record in server.log if record.status == 429)
        later = [record.arrived for record in server.log if record.arrived > refused.finished + 0.05]
        assert len(later) >= 6
        assert sorted(later)[1] >= refused.finished + 0.4  # the other thread's may have been on its way


def test_a_wait_of_hours_ends_the_run(ledger):
    with ScriptedServer(oracle, Faults(retry_after=4000)) as server:
        server.fail_next("429 seconds")
        with pytest.raises(LanguageModelError, match=r"asks to wait 67 minutes \(429\); run it again then"):
            hold(server, ledger, talks(3), concurrency=1)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("401", "refuses requests without a key (401: Incorrect API key provided); see --api-key-variable"),
        ("404", "has no model 'scripted', or nothing at this address, which mostly ends in /v1 (404: "),
        ("429 quota", "has no quota left for this key"),
        ("redirect", "sends elsewhere (307), which is not followed"),
    ],
)
def test_what_no_question_would_change_ends_the_run(kind, words, ledger):
    with ScriptedServer(oracle) as server:
        server.fail_next(None, kind)
        with pytest.raises(LanguageModelError) as error:
            hold(server, ledger, talks(50), concurrency=1)
        assert words in str(error.value)
        assert len(server.log) == 2
        assert not server.followed()
        assert numbers(hold(server, ledger, talks(5), concurrency=1)) == [1, 2, 3, 4, 5]
        assert not server.repeated()


def test_a_server_that_is_not_there(ledger, monkeypatch):
    monkeypatch.setattr(asking, "TRIES", 2)
    with ScriptedServer(oracle) as server:
        pass
    with pytest.raises(LanguageModelError, match="cannot be reached; start the server, then go on"):
        hold(server, ledger, talks(3))
    assert ledger.spent().supposed_cost == 0


def test_a_question_that_never_has_an_answer_does_not_stop_the_others(ledger, monkeypatch):
    monkeypatch.setattr(asking, "TRIES", 3)
    with ScriptedServer(oracle) as server:
        server.fail_next("500", "500", "500")
        found = hold(server, ledger, talks(4), concurrency=1)
        assert numbers(found) == [2, 3, 4]
        assert [one.why for one in found if isinstance(one, Unfinished)] == ["500"]
        assert numbers(hold(server, ledger, talks(4))) == [1, 2, 3, 4]


def test_a_server_that_answers_nothing_ends_the_run(ledger, monkeypatch):
    monkeypatch.setattr(asking, "TRIES", 2)
    with ScriptedServer(oracle, Faults({"500": 1.0})) as server:
        with pytest.raises(LanguageModelError, match="has not answered 10 questions in a row, each tried 2 times"):
            hold(server, ledger, talks(50), concurrency=1)
        assert len(server.log) == 20


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("refusal", "refused"),
        ("content filter", "refused"),
        ("empty content", "empty"),
        ("null content", "empty"),
        ("truncated", "cut short"),
        ("context length", "too long"),
    ],
)
def test_replies_that_are_no_answers_are_kept(kind, reason, ledger):
    with ScriptedServer(oracle) as server:
        server.fail_next(kind)
        (found,) = hold(server, ledger, talks(1))
        assert isinstance(found, Unusable)
        assert found.reason == reason
        assert hold(server, ledger, talks(1)) == [found]  # not asked again
        assert len(server.log) == 1


@pytest.mark.parametrize("kind", ["invalid json", "wrong schema", "unknown keys"])
def test_wrong_answers_are_asked_again_with_the_reason(kind, ledger):
    def is_right(answer):
        return None if answer.number == 1 else f"{answer.number} is not right"

    with ScriptedServer(oracle) as server:
        server.fail_next(kind)
        assert numbers(hold(server, ledger, talks(1, is_right))) == [1]
        assert len(server.log) == 2
        assert not server.repeated()  # the second question is another
        assert ledger.spent().first == 1


def test_a_limit_of_cost_is_never_passed(ledger):
    """Cut connections, which may have been paid, count as much as they can have cost."""
    faults = Faults({"cut before headers": 0.1, "cut in body": 0.1, "500": 0.05}, seed=1)
    with ScriptedServer(oracle, faults) as server:
        stopped = 0
        for limit in (0.5, 1.0, 2.0, 4.0, 8.0):
            try:
                hold(server, ledger, talks(40), concurrency=4, max_cost=limit, **PRICES)
            except BudgetReachedError as error:
                stopped += 1
                assert f"of --max-cost {limit:g}" in str(error)
            sent, received = server.spent()
            paid = (1000 * sent + 5000 * received) / 1e6
            spent = ledger.spent()
            assert paid <= spent.cost + spent.supposed_cost + 1e-9 <= limit + 2e-9
        assert stopped >= 3
        assert not server.repeated()
        assert numbers(hold(server, ledger, talks(40))) == list(range(1, 41))


def test_a_limit_waits_for_what_may_turn_out_cheaper(ledger):
    """Four questions at a time reserve more than the limit, and cost less."""
    with ScriptedServer(oracle) as server:
        model = LanguageModel(options_for(server, **PRICES))
        (question,) = [replay(talk, ledger, "").question for talk in talks(1)]
        most = model.options.cost(*model.most_tokens(question))
        model.close()
        assert numbers(hold(server, ledger, talks(4), max_cost=2.5 * most, **PRICES)) == [1, 2, 3, 4]


def test_budget():
    budget = Budget(1.0, 0.25)
    budget.reserve(0.5)
    assert not budget.fits(0.3)
    threading.Timer(0.05, budget.settle, (0.5, 0.125)).start()
    budget.reserve(0.5)  # waits
    budget.settle(0.5, 0.5)
    assert budget.spent == 0.875
    with pytest.raises(BudgetReachedError, match=r"stopped at 0.8750 of --max-cost 1: the next question can cost up"):
        budget.reserve(0.25)
    Budget(None, 5.0).reserve(1e9)


def test_an_interrupt_keeps_the_answers_on_their_way(ledger):
    """What was asked is waited for and kept: nothing is paid twice."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ScriptedServer(oracle, Faults({"slow": 1.0}, slow_s=0.3)) as server:

        def interrupt():
            while len(server.log) < 6:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            hold(server, ledger, talks(40), concurrency=4)
        thread.join()
        asked = len(server.log)
        assert asked < 40
        assert ledger.spent().questions == asked
        assert numbers(hold(server, ledger, talks(40), concurrency=8)) == list(range(1, 41))
        assert len(server.log) == 40
