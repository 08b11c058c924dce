# SPDX-License-Identifier: Apache-2.0
"""
What is asked of a language model, and what came back.

A stage asks by conversations: generators that yield questions, are sent replies, and return what they found. They
neither know nor care where a reply comes from, the ledger or a server. So the same code asks, goes on after a stop,
and tells what was found: replies decide everything, and the ledger keeps them.
"""

import hashlib
import json
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .prompts import Prompt

# What became of a question: there is a text; it ends at the limit of tokens; the model declined; it said nothing; the
# question is longer than the model takes.
Outcome = Literal["answered", "cut short", "refused", "empty", "too long"]

ATTEMPTS = 3  # of one question; what is wrong with an answer is told with the next
_LONGEST_QUOTE = 4000  # characters of a wrong answer that are sent back
_THOUGHTS = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)

T = TypeVar("T")
Answer = TypeVar("Answer", bound=BaseModel)


class AnswerModel(BaseModel):
    """What answers consist of: nothing may be added, nothing left out, no type is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True)
class Question:
    """
    Args:
        video: That it is about; of no other does a question hold anything.
        prompt: What the model is told.
        content: What it is told about, as JSON.
        schema: Of the answer.
        max_tokens: That the answer may have.
        units: How many sentences or segments it is about.
        corrections: Wrong answers and what was wrong with them; the last alone is sent.
    """

    video: str
    prompt: Prompt
    content: dict[str, Any]
    schema: type[AnswerModel]
    max_tokens: int
    units: int
    corrections: tuple[tuple[str, str], ...] = ()

    @property
    def stage(self) -> str:
        return self.prompt.stage

    def corrected(self, answer: str, problem: str) -> "Question":
        """Returns the question that tells what was wrong with an answer."""
        return replace(self, corrections=(*self.corrections, (answer[:_LONGEST_QUOTE], problem)))

    def messages(self) -> list[dict[str, str]]:
        """Returns the messages of a chat."""
        found = [
            {"role": "system", "content": self.prompt.text},
            {"role": "user", "content": json.dumps(self.content, ensure_ascii=False)},
        ]
        for answer, problem in self.corrections[-1:]:
            again = (
                f"This answer cannot be used: {problem}. Answer the whole question again, with a JSON object alone."
            )
            found += [{"role": "assistant", "content": answer}, {"role": "user", "content": again}]
        return found

    def response_format(self) -> dict[str, Any]:
        """Returns the form of the answer, as servers of OpenAI's kind take it."""
        return {
            "type": "json_schema",
            "json_schema": {"name": self.stage, "strict": True, "schema": _schema_of(self.schema)},
        }

    def body(self) -> str:
        """Returns all that is asked as JSON; the same question is the same text."""
        whole = {
            "messages": self.messages(),
            "response_format": self.response_format(),
            "max_tokens": self.max_tokens,
        }
        return json.dumps(whole, ensure_ascii=False, sort_keys=True)

    def input_digest(self) -> str:
        """
        Returns a digest of what it is about, and of what was wrong before. The form of requests is left out: a newer
        version of this package may ask in another, and takes the answers that are there.
        """
        content = json.dumps([self.content, self.corrections[-1:]], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()

    def key(self, model: str) -> str:
        """Returns what its answer is kept under: of stage, prompt, model with its parameters, and input."""
        parts = json.dumps([self.stage, self.prompt.identity, model, self.input_digest()])
        return hashlib.sha256(parts.encode()).hexdigest()

    def __len__(self) -> int:
        """Bytes of what is sent."""
        return len(self.body().encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class Reply:
    """
    Args:
        outcome: What became of the question.
        text: Of the answer; of a refusal its words.
    """

    outcome: Outcome
    text: str = ""


Conversation = Generator[Question, Reply, T]


@dataclass(frozen=True)
class Unusable:
    """
    No answer can be used.

    Args:
        reason: In few words, without anything of the answer: what is counted.
        detail: What was wrong with the last answer.
        questions: That were asked in vain.
    """

    reason: str
    detail: str = ""
    questions: tuple[Question, ...] = field(default=(), compare=False, repr=False)

    @property
    def is_too_much(self) -> bool:
        """Whether less at a time would help."""
        return self.reason in ("cut short", "too long")


def ask(question: Question, check: Callable[[Any], str | None]) -> Conversation[AnswerModel | Unusable]:
    """
    Asks a question, up to three times where an answer cannot be used.

    Args:
        question: To ask.
        check: Returns what is wrong with an answer that has the right form, None where nothing is.

    Returns:
        An answer of the question's schema that `check` finds nothing wrong with.
    """
    detail, asked = "", []
    for _ in range(ATTEMPTS):
        asked.append(question)
        reply = yield question
        if reply.outcome != "answered":
            return Unusable(reply.outcome, reply.text, tuple(asked))
        try:
            answer = question.schema.model_validate_json(_json_of(reply.text))
        except ValidationError as error:
            kind, detail = "no answer of the right form", _first_problem(error)
        else:
            if (problem := check(answer)) is None:
                return answer
            kind, detail = "an answer that is wrong", problem
        question = question.corrected(reply.text, detail)
        if question.messages() == asked[-1].messages():  # the same wrong answer again
            break
    return Unusable(kind, detail, tuple(asked))


@lru_cache
def _schema_of(kind: type[AnswerModel]) -> dict[str, Any]:
    return _plain_schema(kind.model_json_schema())


def _plain_schema(schema: Any) -> Any:
    """Without names and limits, which not all servers take; answers are held to the limits here."""
    if isinstance(schema, list):
        return [_plain_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    # A property may be called title, too; then it is no text.
    return {
        name: _plain_schema(value)
        for name, value in schema.items()
        if name not in ("maxLength", "title") or not isinstance(value, int | str)
    }


def plain(text: str) -> str:
    """Returns a text in one line, without the characters that cannot be seen."""
    return " ".join("".join(one for one in text if one.isprintable() or one.isspace()).split())


def _json_of(text: str) -> str:
    """Some models think aloud first, or put JSON between fences, whatever they are told."""
    text = _THOUGHTS.sub("", text)
    first, last = text.find("{"), text.rfind("}")
    return text[first : last + 1] if 0 <= first < last else text


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
