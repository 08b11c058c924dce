# SPDX-License-Identifier: Apache-2.0
"""Conversations held without a server, for tests."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from surglavi_hf.annotate.questions import Conversation, Question, Reply


def converse(conversation: Conversation, answer: Callable[[Question], Any]) -> tuple[Any, list[Question]]:
    """Returns what a conversation comes to, and its questions; answers are JSON, texts or replies."""
    questions = []
    try:
        question = next(conversation)
        while True:
            questions.append(question)
            found = answer(question)
            if not isinstance(found, Reply):
                found = Reply("answered", found if isinstance(found, str) else json.dumps(found))
            question = conversation.send(found)
    except StopIteration as stop:
        return stop.value, questions


def one_after_the_other(answers: Iterable[Any]) -> Callable[[Question], Any]:
    """Returns what answers the first question with the first of some answers, and so on."""
    left = iter(answers)
    return lambda question: next(left)
