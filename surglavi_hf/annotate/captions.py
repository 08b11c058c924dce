# SPDX-License-Identifier: Apache-2.0
"""What is asked about segments: whether they describe surgery (filter), and what their captions are (enrich)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from .prompts import Prompt
from .questions import AnswerModel, Conversation, Question, Unusable, ask, plain

SEGMENTS_A_QUESTION = 10
LONGEST_TEXT = 4000  # characters of a segment that are sent; of a longer one its beginning and its end
EARLIER_TEXT = 800  # characters
_TOKENS_A_SEGMENT = {"filter": 150, "enrich": 400}
_LONGEST_REASON, _LONGEST_CAPTION = 400, 1500  # characters


@dataclass(frozen=True)
class Asked:
    """
    A segment that is asked about.

    Args:
        number: Its place in the video, from 1.
        level: Name of its level.
        title: Of a few words.
        text: What was said.
    """

    number: int
    level: str
    title: str
    text: str


class Verdict(AnswerModel):
    number: int
    descriptive: bool
    surgical: bool
    reason: str = Field(max_length=_LONGEST_REASON)


class FilterAnswer(AnswerModel):
    segments: list[Verdict]


class Caption(AnswerModel):
    number: int
    caption: str = Field(max_length=_LONGEST_CAPTION)


class EnrichAnswer(AnswerModel):
    captions: list[Caption]


@dataclass
class Told:
    """
    Args:
        verdicts, captions: By number of the segment.
        lost: Why others have none, by number.
    """

    verdicts: dict[int, Verdict] = field(default_factory=dict)
    captions: dict[int, str] = field(default_factory=dict)
    lost: dict[int, Unusable] = field(default_factory=dict)


def judge_segments(
    video: str, about: dict[str, str | None], segments: Sequence[Asked], prompt: Prompt
) -> Conversation[Told]:
    """
    Asks of segments whether they describe what is to be seen, and whether that is surgery.

    Args:
        video: Its name.
        about: What is known of it: `title` and `procedure`.
        segments: Of the video.
        prompt: Of the stage filter.
    """
    content = {
        **about,
        "segments": [{"number": one.number, "level": one.level, "text": shortened(one.text)} for one in segments],
    }
    found = Told()
    answer = yield from _ask(video, content, segments, prompt, FilterAnswer, "segments")
    if isinstance(answer, Unusable):
        if answer.is_too_much and len(segments) > 1:
            for part in _halves(segments):
                half = yield from judge_segments(video, about, part, prompt)
                found.verdicts |= half.verdicts
                found.lost |= half.lost
            return found
        found.lost = {one.number: answer for one in segments}
        return found
    found.verdicts = {one.number: one for one in answer.segments}
    return found


def write_captions(
    video: str, about: dict[str, str | None], earlier: str, segments: Sequence[Asked], prompt: Prompt
) -> Conversation[Told]:
    """
    Asks for the captions of segments.

    Args:
        video: Its name.
        about: What is known of it: `title` and `procedure`.
        earlier: What was said before the first of them; its last words are sent.
        segments: Of the video, in order.
        prompt: Of the stage enrich.
    """
    content = {
        **about,
        "earlier": earlier[-EARLIER_TEXT:],
        "segments": [
            {"number": one.number, "level": one.level, "title": one.title, "text": shortened(one.text)}
            for one in segments
        ],
    }
    found = Told()
    answer = yield from _ask(video, content, segments, prompt, EnrichAnswer, "captions")
    if isinstance(answer, Unusable):
        if answer.is_too_much and len(segments) > 1:
            for part in _halves(segments):
                half = yield from write_captions(video, about, earlier, part, prompt)
                found.captions |= half.captions
                found.lost |= half.lost
            return found
        found.lost = {one.number: answer for one in segments}
        return found
    found.captions = {one.number: plain(one.caption) for one in answer.captions}
    return found


def shortened(text: str) -> str:
    """Returns the beginning and the end of a text that is longer than `LONGEST_TEXT` characters."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]} […] {text[-half:]}"


def _halves(segments: Sequence[Asked]) -> tuple[Sequence[Asked], Sequence[Asked]]:
    middle = len(segments) // 2
    return segments[:middle], segments[middle:]


def _ask(
    video: str,
    content: dict[str, Any],
    segments: Sequence[Asked],
    prompt: Prompt,
    schema: type[AnswerModel],
    name: str,
) -> Conversation[Any]:
    expected = [one.number for one in segments]
    max_tokens = 200 + _TOKENS_A_SEGMENT[prompt.stage] * len(segments)
    question = Question(video, prompt, content, schema, max_tokens, len(segments))

    def problem(answer: Any) -> str | None:
        entries = getattr(answer, name)
        numbers = [one.number for one in entries]
        if numbers != expected:
            return f'"{name}" has the numbers {numbers[:30]}, expected {expected}, each once and in this order'
        empty = [one.number for one in entries if isinstance(one, Caption) and not plain(one.caption)]
        return f"the captions of {empty} are empty" if empty else None

    return (yield from ask(question, problem))
