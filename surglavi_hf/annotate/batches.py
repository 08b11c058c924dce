# SPDX-License-Identifier: Apache-2.0
"""Conversations held by a server's Batch API: a batch of questions a round, taken up again after a stop."""

import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tqdm.auto import tqdm

from .asking import TRIES, Budget, Talk, Unfinished, replay
from .language_model import LanguageModel, LanguageModelError, NoAnswerError, read_completion
from .ledger import Ledger, Usage
from .questions import Question, Reply

POLL_S = (5.0, 60.0)  # between looks at a batch, at first and at most
_MOST_QUESTIONS, _MOST_BYTES = 50_000, 150_000_000  # of a batch, as OpenAI takes them
_LONGEST_LINE = 20_000_000
_BECAME = {"completed": "was completed", "failed": "failed", "expired": "expired", "cancelled": "was cancelled"}
_PLANNED = "planned "
_MARK = "surglavi"


def hold_in_batches(talks: Sequence[Talk[Any]], model: LanguageModel, ledger: Ledger, what: str) -> Iterator[Any]:
    """
    Holds conversations by batches; yields as [`hold_at_once`].

    Args:
        talks, model, ledger, what: As there.

    Raises:
        BudgetReachedError: not one question more fits into `--max-cost`.
        LanguageModelError: the server takes no batches, or failed one.
    """
    return _Batches(model, ledger, what).hold_all(talks)


class _Batches:
    def __init__(self, model: LanguageModel, ledger: Ledger, what: str):
        self.model, self.ledger, self.what = model, ledger, what
        self.tried: Counter[str] = Counter()
        self.questions: dict[str, Question] = {}
        self.identity = model.options.model_identity

    def hold_all(self, talks: Sequence[Talk[Any]]) -> Iterator[Any]:
        left = list(talks)
        while left:
            self.questions, going, unfinished = {}, [], []
            for talk in left:
                found = replay(talk, self.ledger, self.identity)
                if not isinstance(found, Unfinished):
                    yield found
                    continue
                key = found.question.key(self.identity)
                if self.tried[key] >= TRIES:
                    unfinished.append(Unfinished(found.question, "no answer in any batch"))
                    continue
                self.questions[key] = found.question
                going.append(talk)
            yield from unfinished
            left = going
            if not left:
                return
            self._take_up()  # of a run that was stopped
            missing = {key: one for key, one in self.questions.items() if self.ledger.reply(key) is None}
            if missing:
                self._send(missing)
                self._take_up()

    def _take_up(self) -> None:
        """Waits for the batches that the server has, and keeps their answers."""
        batches = self.ledger.open_batches(self.model.server)
        self._find_planned(batches)
        for batch_id, keys in self.ledger.open_batches(self.model.server).items():
            batch = self._wait(batch_id, len(keys))
            answered = self._keep(batch, set(keys))
            for key in set(keys) - answered:
                self.tried[key] += 1
                self.ledger.fail(key, f"in a batch that {_BECAME[batch.status]}")
            self.ledger.end_batch(batch_id, batch.status)
            if batch.status == "failed":
                raise LanguageModelError(f"{self.model.server} failed batch {batch_id}: {_reasons(batch)}")

    def _find_planned(self, batches: dict[str, list[str]]) -> None:
        """A run may have ended after it sent a batch and before it knew its number."""
        planned = {one: keys for one, keys in batches.items() if one.startswith(_PLANNED)}
        if not planned:
            return
        marked = self._call(self._marked)
        for mark, keys in planned.items():
            if batch_id := marked.get(mark.removeprefix(_PLANNED)):
                self.ledger.open_batch(batch_id, self.model.server, keys)
            else:
                self.ledger.forget_unanswered(keys)
            self.ledger.end_batch(mark, "found" if batch_id else "never sent")

    def _send(self, questions: dict[str, Question]) -> None:
        """Sends as many questions as fit into a batch and into what may be spent."""
        spent = self.ledger.spent()
        budget = Budget(self.model.options.max_cost, spent.cost + spent.supposed_cost)
        lines, keys, size = [], [], 0
        for key, question in questions.items():
            line = self._line(key, question)
            cost = self._most(question)
            if len(keys) == _MOST_QUESTIONS or size + len(line) > _MOST_BYTES or (keys and not budget.fits(cost)):
                break
            budget.reserve(cost)  # which raises where not even the first fits
            lines.append(line)
            keys.append(key)
            size += len(line)
        content = b"".join(lines)
        mark = hashlib.sha256(content + str(time.time_ns()).encode()).hexdigest()[:32]
        for key in keys:
            self.ledger.ask(key, questions[key], self.identity, self._most(questions[key]))
        self.ledger.open_batch(f"{_PLANNED}{mark}", self.model.server, keys)
        client, tried = self.model.client, False

        def send() -> str:
            return client.files.create(file=("questions.jsonl", io.BytesIO(content)), purpose="batch").id

        def create() -> str:
            nonlocal tried
            if tried and (made := self._marked().get(mark)):  # and only its answer was lost
                return made
            tried = True
            return client.batches.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_MARK: mark},
            ).id

        try:
            file_id = self._call(send)
        except LanguageModelError:
            self.ledger.forget_unanswered(keys)
            self.ledger.end_batch(f"{_PLANNED}{mark}", "refused")
            raise
        batch_id = self._call(create)  # where that fails, the next run looks whether it was made
        self.ledger.open_batch(batch_id, self.model.server, keys)
        self.ledger.end_batch(f"{_PLANNED}{mark}", "sent")

    def _marked(self) -> dict[str, str]:
        """Returns the batches of ours that the server has, by their marks."""
        there = self.model.client.batches.list(limit=100)
        return {one.metadata[_MARK]: one.id for one in there if one.metadata and _MARK in one.metadata}

    def _most(self, question: Question) -> float:
        return self.model.options.cost(*self.model.most_tokens(question))

    def _line(self, key: str, question: Question) -> bytes:
        request = {
            "custom_id": key,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": self.model.body(question),
        }
        return f"{json.dumps(request)}\n".encode()

    def _wait(self, batch_id: str, number: int) -> Any:
        pause = POLL_S[0]

        def look() -> Any:
            found = self.model.client.batches.retrieve(batch_id)
            _ = found.status, found.request_counts  # which a page of HTML has not
            return found

        with tqdm(total=number, desc=f"{self.what}, batch", unit=" question", dynamic_ncols=True, delay=2) as bar:
            while True:
                batch = self._call(look)
                counts = batch.request_counts
                bar.update((counts.completed + counts.failed if counts else 0) - bar.n)
                if batch.status in _BECAME:
                    return batch
                time.sleep(pause)
                pause = min(pause * 1.5, POLL_S[1])

    def _keep(self, batch: Any, keys: set[str]) -> set[str]:
        """Keeps the answers of a batch; returns the questions that have one."""
        answered: set[str] = set()
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            content = self._call(lambda file_id=file_id: self.model.client.files.content(file_id).text)
            for line in content.split("\n"):
                key, reply, tokens = self._read(line)
                if key in keys and key not in answered and reply is not None:
                    question = self.questions.get(key)
                    cost = self.model.options.cost(*self._tokens(question, reply, tokens))
                    self.ledger.answer(key, reply, Usage(*tokens, cost))
                    answered.add(key)
        return answered

    def _tokens(
        self, question: Question | None, reply: Reply, tokens: tuple[int | None, int | None]
    ) -> tuple[int, int]:
        if question is not None:
            return self.model.tokens_of(question, reply, *tokens)
        return tokens[0] or 0, tokens[1] or len(reply.text)

    def _read(self, line: str) -> tuple[str, Reply | None, tuple[int | None, int | None]]:
        nothing: tuple[str, None, tuple[None, None]] = ("", None, (None, None))
        try:
            content = json.loads(line) if line.strip() and len(line) <= _LONGEST_LINE else None
            key, response = content["custom_id"], content["response"]
            status, body = response["status_code"], response["body"]
        except (ValueError, RecursionError, TypeError, KeyError):
            return nothing
        if not isinstance(key, str) or type(status) is not int:
            return nothing
        try:
            if status == 200:
                return (key, *read_completion(body))
            error = body.get("error") if isinstance(body, dict) else None
            return key, self.model.reply_of_status(status, error if isinstance(error, dict) else {}), (0, 0)
        except (NoAnswerError, LanguageModelError):
            return nothing

    def _call(self, call: Any) -> Any:
        """What the server says of files and batches; tried again where it had no answer."""
        last: Exception | None = None
        for number in range(TRIES):
            if last is not None:
                time.sleep(min(POLL_S[0] * 2 ** (number - 1), POLL_S[1]))
            try:
                return call()
            except self.model.failures as error:
                last = error
                try:
                    self.model.reply_of_error(error)
                    break
                except NoAnswerError:
                    continue
                except LanguageModelError as why:
                    last = why
                    break
        raise LanguageModelError(f"{self.model.server} takes no batches, or not this one ({last}); leave --batch out")


def _reasons(batch: Any) -> str:
    errors = batch.errors.data if batch.errors and batch.errors.data else []
    return "; ".join(str(one.message)[:200] for one in errors[:3]) or "no reason given"
