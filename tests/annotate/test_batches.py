# SPDX-License-Identifier: Apache-2.0
"""Questions by a server's Batch API, on loopback."""

import pytest

from surglavi_hf.annotate import batches
from surglavi_hf.annotate.batches import hold_in_batches
from surglavi_hf.annotate.language_model import LanguageModel, LanguageModelError
from surglavi_hf.annotate.ledger import Ledger
from surglavi_hf.annotate.questions import Unusable

from .scripted_server import Faults, ScriptedServer
from .test_asking import PRICES, BudgetReachedError, numbers, options_for, oracle, talks


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(batches, "POLL_S", (0.01, 0.02))


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def hold(server, ledger, some, **more):
    model = LanguageModel(options_for(server, batch=True, **more))
    try:
        return list(hold_in_batches(some, model, ledger, "video"))
    finally:
        model.close()


def sent_batches(server):
    return [record for record in server.log if (record.method, record.path) == ("POST", "/v1/batches")]


def test_all_questions_go_in_one_batch(ledger):
    with ScriptedServer(oracle) as server:
        assert numbers(hold(server, ledger, talks(30), **PRICES)) == list(range(1, 31))
        assert len(sent_batches(server)) == 1
        sent, received = server.spent()
        assert ledger.spent().cost == pytest.approx((1000 * sent + 5000 * received) / 1e6)
        assert ledger.spent().supposed_cost == 0
        assert numbers(hold(server, ledger, talks(30), **PRICES)) == list(range(1, 31))
        assert len(sent_batches(server)) == 1


def test_wrong_answers_go_in_the_next_batch(ledger):
    def is_even(answer):
        return None if answer.number % 2 == 0 else f"{answer.number} is odd"

    with ScriptedServer(oracle, Faults({"invalid json": 0.3}, seed=1, times=1)) as server:
        found = hold(server, ledger, talks(20, is_even))
        assert len(found) == 20
        assert set(numbers(found)) <= set(range(2, 21, 2))
        # Whoever is as wrong twice in the same way is not asked a third time.
        assert 10 <= sum(isinstance(one, Unusable) for one in found) <= 13
        assert 2 <= len(sent_batches(server)) <= 3


@pytest.mark.parametrize("kind", ["429", "500", "cut before headers"])
def test_faults_of_lines_are_asked_again(kind, ledger):
    with ScriptedServer(oracle, Faults({kind: 0.2}, seed=2, times=1)) as server:
        assert numbers(hold(server, ledger, talks(20))) == list(range(1, 21))


@pytest.mark.parametrize("kind", ["500", "cut before headers", "cut in body", "html"])
@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
def test_faults_of_files_and_batches(kind, path, ledger):
    with ScriptedServer(oracle) as server:
        server.fail_next(kind, path=path)
        assert numbers(hold(server, ledger, talks(5))) == [1, 2, 3, 4, 5]
        assert len(server.batches) == 1  # also where the answer that it was made is lost
        assert not server.repeated()


def test_an_expired_batch_is_asked_again_as_far_as_it_came_not(ledger):
    with ScriptedServer(oracle) as server:
        server.fail_next("batch expired", path="/v1/batches")
        assert numbers(hold(server, ledger, talks(10))) == list(range(1, 11))
        assert len(sent_batches(server)) == 2
        assert not server.repeated()
        assert "in a batch that expired" in ledger.failures()


def test_a_failed_batch_ends_the_run(ledger):
    with ScriptedServer(oracle) as server:
        server.fail_next("batch failed", path="/v1/batches")
        with pytest.raises(LanguageModelError, match=r"failed batch batch_\S+: "):
            hold(server, ledger, talks(5))
        assert numbers(hold(server, ledger, talks(5))) == [1, 2, 3, 4, 5]


def test_a_server_without_batches(ledger):
    with ScriptedServer(oracle) as server:
        server.fail_next("404", path="/v1/files")
        with pytest.raises(LanguageModelError, match="takes no batches, or not this one"):
            hold(server, ledger, talks(5))
        assert numbers(hold(server, ledger, talks(5))) == [1, 2, 3, 4, 5]


class _Killed(BaseException):
    pass


def test_a_run_that_was_killed_takes_up_its_batch(ledger, monkeypatch):
    """Wherever it was killed: before the batch was sent, before its number was known, while it was waited for."""

    def kill(*_):
        raise _Killed

    real = Ledger.open_batch
    with ScriptedServer(oracle) as server:
        for place in ("before", "between", "after"):
            some = talks(5, start={"before": 0, "between": 10, "after": 20}[place])
            before = len(sent_batches(server))
            with monkeypatch.context() as patch, pytest.raises(_Killed):
                if place == "before":
                    patch.setattr(batches._Batches, "_call", kill)
                elif place == "between":
                    patch.setattr(Ledger, "open_batch", lambda *a: kill() if "planned" not in a[1] else real(*a))
                else:
                    patch.setattr(batches._Batches, "_wait", kill)
                hold(server, ledger, some)
            assert len(numbers(hold(server, ledger, some))) == 5
            assert len(sent_batches(server)) == before + 1
        assert not server.repeated()


def test_a_limit_of_cost(ledger):
    with ScriptedServer(oracle) as server:
        for limit in (1.0, 2.0, 4.0):
            with pytest.raises(BudgetReachedError, match=f"of --max-cost {limit:g}"):
                hold(server, ledger, talks(60), max_cost=limit, **PRICES)
            sent, received = server.spent()
            assert (1000 * sent + 5000 * received) / 1e6 <= limit
        assert numbers(hold(server, ledger, talks(60), **PRICES)) == list(range(1, 61))
        assert not server.repeated()
