# SPDX-License-Identifier: Apache-2.0
"""Conversations held: out of the ledger alone, or with a server, some questions at a time."""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tqdm.auto import tqdm

from .language_model import LanguageModel, LanguageModelError, NoAnswerError
from .ledger import Ledger
from .questions import Conversation, Question, Reply

TRIES = 8  # of one question, where the server has no answer
_TRIES_TO_REACH = 4  # a server; one that is not running does not come by waiting
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
LONGEST_RETRY_AFTER_S = 600.0  # who asks for more is out of quota for the day
_GIVEN_UP_IN_A_ROW = 10

T = TypeVar("T")


class BudgetReachedError(RuntimeError):
    """The next question could cost more than is left of `--max-cost`."""


@dataclass(frozen=True)
class Unfinished:
    """
    A conversation that waits for an answer.

    Args:
        question: To be asked next.
        why: It has none yet.
    """

    question: Question
    why: str = "not asked yet"


@dataclass(frozen=True)
class Talk(Generic[T]):
    """
    A conversation that can be held, more than once.

    Args:
        name: Of what it is about, for people.
        begin: Returns it, at its beginning.
    """

    name: str
    begin: Callable[[], Conversation[T]]


def replay(talk: Talk[T], ledger: Ledger, model: str) -> T | Unfinished:
    """Returns what a conversation comes to, as far as the ledger knows the replies."""
    return hold(talk, lambda question: ledger.reply(question.key(model)))


def hold(talk: Talk[T], reply_to: Callable[[Question], Reply | None]) -> T | Unfinished:
    """Returns what a conversation comes to; where there is no reply, the question that it waits for."""
    conversation = talk.begin()
    try:
        question = next(conversation)
        while True:
            reply = reply_to(question)
            if reply is None:
                return Unfinished(question)
            question = conversation.send(reply)
    except StopIteration as stop:
        return stop.value
    finally:
        conversation.close()


class Budget:
    """
    What questions may cost. One is asked only where it fits even if it costs as much as it can.

    Args:
        most: Of all; None for no limit.
        spent: So far, what may have been paid without an answer included.
    """

    def __init__(self, most: float | None, spent: float):
        self.most, self.spent, self._reserved = most, spent, 0.0
        self._changed = threading.Condition()

    def fits(self, cost: float) -> bool:
        """Whether it fits beside what is reserved."""
        return self.most is None or self.spent + self._reserved + cost <= self.most

    def reserve(self, cost: float) -> None:
        """Waits while questions on their way may turn out cheaper. Raises BudgetReachedError where it does not fit."""
        with self._changed:
            while not self.fits(cost):
                if not self._reserved:
                    raise BudgetReachedError(
                        f"stopped at {self.spent:.4f} of --max-cost {self.most:g}: the next question can cost up to "
                        f"{cost:.4f}; raise --max-cost to go on"
                    )
                self._changed.wait()
            self._reserved += cost

    def settle(self, reserved: float, cost: float) -> None:
        """Takes back what was reserved; counts what was paid."""
        with self._changed:
            # Sums of what comes and goes would not come back to nothing.
            self._reserved = self._reserved - reserved if self._reserved - reserved > 1e-12 else 0.0
            self.spent += cost
            self._changed.notify_all()


def hold_at_once(talks: Sequence[Talk[Any]], model: LanguageModel, ledger: Ledger, what: str) -> Iterator[Any]:
    """
    Holds conversations, `concurrency` at a time; yields what each came to, or [`Unfinished`]. Replies go to the ledger
    first.

    Args:
        talks: To hold.
        model: That answers.
        ledger: Of the corpus.
        what: This is done, for the progress bar, such as "filter".

    Raises:
        BudgetReachedError: `--max-cost` would be passed.
        LanguageModelError: the server will answer nothing as things are.
        KeyboardInterrupt: after the answers that were on their way are kept; a second one cuts them.
    """
    return _Asker(model, ledger).hold_all(talks, what)


class _Asker:
    def __init__(self, model: LanguageModel, ledger: Ledger):
        self.model, self.ledger = model, ledger
        spent = ledger.spent()
        self.budget = Budget(model.options.max_cost, spent.cost + spent.supposed_cost)
        self.stopping = threading.Event()
        self._pause_until, self._random = 0.0, random.Random()
        self._fatal: BaseException | None = None
        self._excess = 0  # tokens that the server counts beyond what we can see
        self._given_up = 0  # questions in a row
        self._on_their_way: dict[str, threading.Lock] = {}

    def hold_all(self, talks: Sequence[Talk[Any]], what: str) -> Iterator[Any]:
        workers = self.model.options.concurrency
        waiting = iter(talks)
        running: set[Future] = set()
        bar = tqdm(total=len(talks), desc=what, unit=" part", dynamic_ncols=True, delay=2)
        with bar, ThreadPoolExecutor(workers) as pool:
            try:
                while True:
                    while len(running) < 2 * workers and not self.stopping.is_set():
                        if (item := next(waiting, None)) is None:
                            break
                        running.add(pool.submit(self._hold, item))
                    if not running:
                        break
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        bar.update()
                        yield future.result()
            except BaseException as error:
                self.stopping.set()
                pool.shutdown(wait=False, cancel_futures=True)
                if isinstance(error, KeyboardInterrupt):
                    self._wait_for_answers(running)
                raise
        if self._fatal is not None:
            raise self._fatal

    def _wait_for_answers(self, running: set[Future]) -> None:
        on_their_way = [one for one in running if not one.cancelled()]  # for the others nobody waits
        tqdm.write("stopping: answers that are on their way are waited for; Ctrl-C again cuts them", sys.stderr)
        try:
            wait(on_their_way)
        except KeyboardInterrupt:
            self.model.close()
            wait(on_their_way)

    def _hold(self, talk: Talk[T]) -> T | Unfinished:
        why = "not asked yet"

        def reply_to(question: Question) -> Reply | None:
            nonlocal why
            try:
                return self._reply(question)
            except NoAnswerError as error:
                why = error.what
            except (BudgetReachedError, LanguageModelError) as error:
                self._fatal, why = self._fatal or error, "stopped"
                self.stopping.set()
            return None

        found = hold(talk, reply_to)
        return Unfinished(found.question, why) if isinstance(found, Unfinished) else found

    def _reply(self, question: Question) -> Reply | None:
        key = question.key(self.model.options.model_identity)
        with self._on_their_way.setdefault(key, threading.Lock()):  # two talks may ask the same
            known = self.ledger.reply(key)
            return known if known is not None else self._ask(key, question)

    def _ask(self, key: str, question: Question) -> Reply | None:
        sent, received = self.model.most_tokens(question)
        error: NoAnswerError | None = None
        for number in range(TRIES):
            if error is not None and not error.reached and number >= _TRIES_TO_REACH:
                break
            if not self._may_go_on(number, error):
                break
            most = self.model.options.cost(sent + self._excess, received)
            self.budget.reserve(most)
            cost = most  # of whatever ends it unforeseen
            try:
                self.ledger.ask(key, question, self.model.options.model_identity, most)
                reply, usage = self.model.send(question)
                cost = usage.cost
                self.ledger.answer(key, reply, usage)
                self._excess, self._given_up = max(self._excess, (usage.input_tokens or 0) - sent), 0
                return self.ledger.reply(key)  # as it will be read another time
            except NoAnswerError as failure:
                error, cost = failure, most if failure.paid else 0.0
                self.ledger.fail(key, failure.what, cost)
            except LanguageModelError:
                cost = 0.0
                self.ledger.forget_unanswered([key])
                raise
            finally:
                self.budget.settle(most, cost)
        if error is None:
            return None
        self._given_up += 1
        if not error.reached:
            raise LanguageModelError(f"{self.model.server} cannot be reached; start the server, then go on") from error
        if self._given_up >= _GIVEN_UP_IN_A_ROW:
            raise LanguageModelError(
                f"{self.model.server} has not answered {self._given_up} questions in a row, each tried {TRIES} times "
                f"(the last: {error.what}); see the server, then go on"
            ) from error
        raise error

    def _may_go_on(self, number: int, error: NoAnswerError | None) -> bool:
        """Waits as long as is right after a failure, and as long as the server asked everybody to."""
        if error is not None:
            pause = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (number - 1)) * self._random.uniform(0.5, 1.0)
            if error.wait is not None:
                if error.wait > LONGEST_RETRY_AFTER_S:
                    raise LanguageModelError(
                        f"{self.model.server} asks to wait {error.wait / 60:.0f} minutes ({error.what}); run it again "
                        "then"
                    )
                pause = error.wait
                self._pause_until = max(self._pause_until, time.monotonic() + pause)
            if self.stopping.wait(pause):
                return False
        while (left := self._pause_until - time.monotonic()) > 0:
            if self.stopping.wait(left):
                return False
        return not self.stopping.is_set()
