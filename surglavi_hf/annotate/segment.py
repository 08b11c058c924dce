# SPDX-License-Identifier: Apache-2.0
"""
Segmentation: which sentences make a phase, a step, a task. The model answers with numbers of sentences, never with
times: a segment lasts from the first word of its first sentence to the last word of its last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from ..data import Level
from .prompts import Prompt
from .questions import AnswerModel, Conversation, Question, Unusable, ask, plain
from .transcripts import Sentence, join_words

WINDOW = 120  # sentences a question
EARLIER = 6  # sentences before a window that are told
LONGEST_S = {Level.TASK: 300.0, Level.STEP: 1200.0, Level.PHASE: 5400.0}
MOST_TOKENS = (400, 65)  # of an answer, and of each sentence; a task a sentence, each with a title, takes 40
_LEAST_WINDOW = 4
_LONGEST_TITLE = 200  # characters
_LEVELS_OF = {"nothing": (), "phase": (Level.PHASE,), "step": (Level.PHASE, Level.STEP)}
_LEVELS_OF["task"] = (Level.PHASE, Level.STEP, Level.TASK)


class Range(AnswerModel):
    first: int
    last: int


class TaskRange(Range):
    title: str = Field(max_length=_LONGEST_TITLE)


class StepRange(TaskRange):
    tasks: list[TaskRange]


class PhaseRange(TaskRange):
    steps: list[StepRange]


class SegmentAnswer(AnswerModel):
    continues: Literal["nothing", "phase", "step", "task"]
    outside: list[Range]
    phases: list[PhaseRange]


@dataclass
class Segment:
    """
    Args:
        level: Of it.
        title: Of a few words.
        first, last: Numbers of its sentences, from 1, both in it.
    """

    level: Level
    title: str
    first: int
    last: int


@dataclass
class SegmentedVideo:
    """
    Args:
        segments: In order of their first sentences, phases before steps before tasks.
        outside: Ranges of sentences that are about no operation.
        lost: Ranges of sentences whose questions had no usable answer, and why.
        questions: How many windows there were.
    """

    segments: list[Segment] = field(default_factory=list)
    outside: list[tuple[int, int]] = field(default_factory=list)
    lost: list[tuple[int, int, Unusable]] = field(default_factory=list)
    questions: int = 0


def segment_video(
    video: str, about: dict[str, str | None], sentences: Sequence[Sentence], prompt: Prompt, window: int = WINDOW
) -> Conversation[SegmentedVideo]:
    """
    Cuts the narration of a video. A long one goes in windows. What the end of a window cuts is not believed: the next
    begins where the last step of the window began, is told what was going on there, and says whether it goes on.

    Args:
        video: Its name.
        about: What is known of it: `title` and `procedure`.
        sentences: Of its narration.
        prompt: Of this stage.
        window: Sentences a question.
    """
    found, start, asked = SegmentedVideo(), 1, window
    ongoing: list[Segment] = []  # phase, step, task that the sentence before `start` lies in
    while start <= len(sentences):
        end = min(start + asked - 1, len(sentences))
        question = _question(video, about, sentences, start, end, ongoing, prompt)
        checker = _Checker(sentences, start, end, {one.level: one for one in ongoing})
        answer = yield from ask(question, checker.problem)
        found.questions += 1
        if isinstance(answer, Unusable):
            if answer.is_too_much and end - start + 1 > _LEAST_WINDOW:
                asked = max(_LEAST_WINDOW, (end - start + 1) // 2)
                continue
            found.lost.append((start, end, answer))
            start, ongoing, asked = end + 1, [], window
            continue
        cut = end + 1 if end == len(sentences) else _cut(answer, start, end)
        ongoing = _take(found, answer, ongoing, cut)
        start, asked = cut, window
    found.segments.sort(key=lambda one: (one.first, -one.last, -one.level))
    return found


def segment_seconds(segment: Segment, sentences: Sequence[Sentence]) -> tuple[float, float]:
    """Returns when a segment starts and ends, in seconds."""
    return sentences[segment.first - 1].start, sentences[segment.last - 1].end


def segment_text(segment: Segment, sentences: Sequence[Sentence]) -> str:
    """Returns what was said in it."""
    return join_words(sentence.text for sentence in sentences[segment.first - 1 : segment.last])


def _question(
    video: str,
    about: dict[str, str | None],
    sentences: Sequence[Sentence],
    start: int,
    end: int,
    ongoing: Sequence[Segment],
    prompt: Prompt,
) -> Question:
    titles = {one.level.name.lower(): one.title for one in ongoing}
    content: dict[str, Any] = {
        **about,
        "ongoing": {name: titles.get(name) for name in ("phase", "step", "task")} if titles else None,
        "earlier": [sentence.text for sentence in sentences[max(0, start - 1 - EARLIER) : start - 1]],
        "sentences": [{"number": at, "text": sentences[at - 1].text} for at in range(start, end + 1)],
    }
    number = end - start + 1
    return Question(video, prompt, content, SegmentAnswer, MOST_TOKENS[0] + MOST_TOKENS[1] * number, number)


@dataclass(frozen=True)
class _Checker:
    """What a window's answer must be."""

    sentences: Sequence[Sentence]
    start: int
    end: int
    ongoing: Mapping[Level, Segment]

    def problem(self, answer: SegmentAnswer) -> str | None:
        if problem := self._in_order("phases", answer.phases, self.start, self.end):
            return problem
        if problem := self._in_order("ranges of outside", answer.outside, self.start, self.end):
            return problem
        expected = self.start
        for part in sorted([*answer.outside, *answer.phases], key=lambda part: part.first):
            if part.first < expected:
                return f"sentence {part.first} lies in two phases, or in a phase and outside"
            if part.first > expected:
                return f"sentence {expected} lies in no phase and not outside"
            expected = part.last + 1
        if expected != self.end + 1:
            return f"sentence {expected} lies in no phase and not outside"
        for phase in answer.phases:
            if problem := self._in_order("steps", phase.steps, phase.first, phase.last):
                return problem
            for step in phase.steps:
                if problem := self._in_order("tasks", step.tasks, step.first, step.last):
                    return problem
        return self._continues(answer) or self._lengths(answer)

    def _in_order(self, what: str, ranges: Sequence[Range], low: int, high: int) -> str | None:
        before = low - 1
        for one in ranges:
            if one.last < one.first:
                return f"one of the {what} goes from {one.first} to {one.last}"
            if one.first < low or one.last > high:
                return f"one of the {what} goes from {one.first} to {one.last}, expected numbers from {low} to {high}"
            if one.first <= before:
                return f"two of the {what} hold sentence {one.first}, or they are not in order"
            if isinstance(one, TaskRange) and not plain(one.title):
                return f"one of the {what} has no title"
            before = one.last
        return None

    def _continues(self, answer: SegmentAnswer) -> str | None:
        levels = _LEVELS_OF[answer.continues]
        if missing := [level for level in levels if level not in self.ongoing]:
            return f'"continues" is {answer.continues!r}, and no {missing[0].name.lower()} is going on'
        first: dict[Level, Sequence[Range]] = {Level.PHASE: answer.phases[:1]}
        first[Level.STEP] = [step for phase in answer.phases[:1] for step in phase.steps[:1]]
        first[Level.TASK] = [
            task for phase in answer.phases[:1] for step in phase.steps[:1] for task in step.tasks[:1]
        ]
        for level in levels:
            if not first[level] or first[level][0].first != self.start:
                return f'"continues" is {answer.continues!r}, and no {level.name.lower()} begins with {self.start}'
        return None

    def _lengths(self, answer: SegmentAnswer) -> str | None:
        continued = set(_LEVELS_OF[answer.continues])
        for level, one in _ranges(answer):
            first = self.ongoing[level].first if level in continued else one.first
            continued.discard(level)  # the first of its level alone
            seconds = self.sentences[one.last - 1].end - self.sentences[first - 1].start
            if seconds > LONGEST_S[level] and one.last > first:
                return (
                    f"the {level.name.lower()} from {first} to {one.last} lasts {seconds:.0f} s, expected at most "
                    f"{LONGEST_S[level]:.0f}; cut it"
                )
        return None


def _ranges(answer: SegmentAnswer) -> list[tuple[Level, TaskRange]]:
    found: list[tuple[Level, TaskRange]] = []
    for phase in answer.phases:
        found.append((Level.PHASE, phase))
        for step in phase.steps:
            found.append((Level.STEP, step))
            found += [(Level.TASK, task) for task in step.tasks]
    return found


def _cut(answer: SegmentAnswer, start: int, end: int) -> int:
    """Returns the sentence that the next window begins with: there, the last segment that may be cut begins."""
    for level in (Level.STEP, Level.PHASE, Level.TASK):
        begins = [one.first for of, one in _ranges(answer) if of is level and one.last == end and one.first > start]
        if begins:
            return begins[-1]
    if answer.outside and answer.outside[-1].last == end:  # what is outside may be cut anywhere
        return end + 1
    # One task, or sentences of no task, fill the window: half of it is read again.
    return max(start + 1, (start + end) // 2 + 1)


def _take(found: SegmentedVideo, answer: SegmentAnswer, ongoing: list[Segment], cut: int) -> list[Segment]:
    """Adds what lies before the cut; returns the segments that the sentence before it lies in."""
    going = {one.level: one for one in ongoing}
    continued = set(_LEVELS_OF[answer.continues])
    open_at_cut: list[Segment] = []
    for level, one in _ranges(answer):
        if one.first >= cut:
            continue
        if level in continued:
            continued.discard(level)  # the first of its level alone
            segment = going[level]
            segment.last = min(one.last, cut - 1)
        else:
            segment = Segment(level, plain(one.title), one.first, min(one.last, cut - 1))
            found.segments.append(segment)
        if segment.last == cut - 1:
            open_at_cut.append(segment)
    for one in answer.outside:
        if one.first < cut:
            found.outside.append((one.first, min(one.last, cut - 1)))
    return open_at_cut
