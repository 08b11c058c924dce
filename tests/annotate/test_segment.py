# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.annotate.prompts import read_prompt
from surglavi_hf.annotate.questions import Reply
from surglavi_hf.annotate.segment import Segment, segment_seconds, segment_text, segment_video
from surglavi_hf.annotate.transcripts import Sentence
from surglavi_hf.data import Level

from .conversations import converse, one_after_the_other

ABOUT = {"title": "A title", "procedure": None}
PROMPT = read_prompt("segment")
NAMES = {level: level.name.lower() for level in Level}


def sentences_of(number, seconds=2.0):
    return [Sentence(f"Sentence {at}.", at * seconds, (at + 0.75) * seconds, 0.9) for at in range(1, number + 1)]


def segment(number, answer, window=120, seconds=2.0):
    return converse(segment_video("video", ABOUT, sentences_of(number, seconds), PROMPT, window), answer)


@st.composite
def truths(draw):
    """A transcript's segments: phases with steps with tasks, some sentences in none of them."""
    found, at = [], 1
    for phase in range(draw(st.integers(1, 4))):
        at += draw(st.integers(0, 3))  # outside
        first = at
        inside = []
        for step in range(draw(st.integers(0, 3))):
            at += draw(st.integers(0, 1))
            start, tasks = at, []
            for task in range(draw(st.integers(0, 4))):
                at += draw(st.integers(0, 1))
                end = at + draw(st.integers(0, 4))
                tasks.append(Segment(Level.TASK, f"task {phase}.{step}.{task}", at, end))
                at = end + 1
            at = max(at, start + 1)
            inside += [Segment(Level.STEP, f"step {phase}.{step}", start, at - 1), *tasks]
        at = max(at, first + 1)
        found += [Segment(Level.PHASE, f"phase {phase}", first, at - 1), *inside]
    total = at - 1 + draw(st.integers(0, 3))
    return found, total


def model_that_knows(truth):
    """Answers each window as a model does that hears right: it knows nothing of what comes after."""

    def answer(question):
        numbers = [one["number"] for one in question.content["sentences"]]
        low, high = numbers[0], numbers[-1]

        def inside(level, outer):
            return [one for one in truth if one.level is level and one.first <= outer.last and one.last >= outer.first]

        def clipped(one):
            return {"title": one.title, "first": max(one.first, low), "last": min(one.last, high)}

        window = Segment(Level.PHASE, "", low, high)
        phases = [
            clipped(phase)
            | {
                "steps": [
                    clipped(step) | {"tasks": [clipped(task) for task in inside(Level.TASK, _both(step, window))]}
                    for step in inside(Level.STEP, _both(phase, window))
                ]
            }
            for phase in inside(Level.PHASE, window)
        ]
        covered = {at for one in truth if one.level is Level.PHASE for at in range(one.first, one.last + 1)}
        outside = [{"first": at, "last": at} for at in numbers if at not in covered]
        continues = "nothing"
        for level in (Level.PHASE, Level.STEP, Level.TASK):
            goes_on = [one for one in truth if one.level is level and one.first < low <= one.last]
            told = question.content["ongoing"] or {}
            if not goes_on or told.get(NAMES[level]) != goes_on[0].title:
                break
            continues = NAMES[level]
        return {"continues": continues, "outside": outside, "phases": phases}

    return answer


def _both(one, other):
    return Segment(one.level, "", max(one.first, other.first), min(one.last, other.last))


@given(truths(), st.integers(2, 40))
def test_windows_leave_no_seams(truth, window):
    """Whatever the window, what comes out is what a model says that sees all at once."""
    segments, total = truth
    found, questions = segment(total, model_that_knows(segments), window)
    assert not found.lost
    assert found.segments == sorted(segments, key=lambda one: (one.first, -one.last, -one.level))
    inside = {at for one in segments for at in range(one.first, one.last + 1)}
    assert {at for first, last in found.outside for at in range(first, last + 1)} == {*range(1, total + 1)} - inside
    assert len(questions) <= 2 * total
    for question in questions:
        numbers = [one["number"] for one in question.content["sentences"]]
        assert len(numbers) <= window
        # What a window is told goes on is what holds the sentence before it.
        before = {NAMES[one.level]: one.title for one in segments if one.first < numbers[0] <= one.last + 1}
        told = question.content["ongoing"] or {}
        assert {level: title for level, title in told.items() if title} == before
    assert sum(len(question.content["sentences"]) for question in questions) <= 4 * total


def answer_of(phases, outside=(), continues="nothing"):
    def ranged(one):
        return {"title": one[0], "first": one[1], "last": one[2]}

    return {
        "continues": continues,
        "outside": [{"first": first, "last": last} for first, last in outside],
        "phases": [
            ranged(phase) | {"steps": [ranged(step) | {"tasks": list(map(ranged, step[3]))} for step in phase[3]]}
            for phase in phases
        ],
    }


GOOD = answer_of([("Dissection", 2, 6, [("Artery", 2, 4, [("Clip", 2, 2), ("Cut", 3, 4)])])], [(1, 1)])


def test_segments_have_the_times_of_their_words():
    found, _ = segment(6, one_after_the_other([GOOD]))
    sentences = sentences_of(6)
    assert [(one.level, one.title, *segment_seconds(one, sentences)) for one in found.segments] == [
        (Level.PHASE, "Dissection", 4.0, 13.5),
        (Level.STEP, "Artery", 4.0, 9.5),
        (Level.TASK, "Clip", 4.0, 5.5),
        (Level.TASK, "Cut", 6.0, 9.5),
    ]
    assert segment_text(found.segments[3], sentences) == "Sentence 3. Sentence 4."
    assert found.outside == [(1, 1)]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (answer_of([("A", 1, 5, [])]), "sentence 6 lies in no phase and not outside"),
        (answer_of([("A", 2, 6, [])]), "sentence 1 lies in no phase"),
        (answer_of([("A", 1, 3, []), ("B", 5, 6, [])]), "sentence 4 lies in no phase"),
        (answer_of([("A", 1, 4, []), ("B", 4, 6, [])]), "two of the phases hold sentence 4"),
        (answer_of([("A", 1, 6, [])], [(6, 6)]), "sentence 6 lies in two phases, or in a phase and outside"),
        (answer_of([("A", 1, 7, [])]), "goes from 1 to 7, expected numbers from 1 to 6"),
        (answer_of([("A", 0, 6, [])]), "goes from 0 to 6"),
        (answer_of([("B", 4, 6, []), ("A", 1, 3, [])]), "not in order"),
        (answer_of([("A", 6, 1, [])]), "goes from 6 to 1"),
        (answer_of([("A", 1, 6, [("S", 1, 7, [])])]), "steps goes from 1 to 7, expected numbers from 1 to 6"),
        (answer_of([("A", 1, 6, [("S", 1, 3, [("T", 3, 4)])])]), "tasks goes from 3 to 4"),
        (answer_of([("A", 1, 6, [("S", 1, 3, []), ("R", 3, 5, [])])]), "two of the steps hold sentence 3"),
        (answer_of([("A", 1, 6, [("S", 1, 3, [("T", 1, 2), ("U", 1, 1)])])]), "two of the tasks hold sentence 1"),
        (answer_of([(" \u200b", 1, 6, [])]), "has no title"),
        (answer_of([("A" * 201, 1, 6, [])]), "at most 200 characters"),
        (answer_of([("A", 1, 6, [])], continues="phase"), "no phase is going on"),
        (answer_of([("A", 1, 6, [])], continues="all"), "continues"),
    ],
)
def test_wrong_ranges_are_asked_again(wrong, problem):
    found, questions = segment(6, one_after_the_other([wrong, GOOD]))
    assert len(found.segments) == 4
    assert problem in questions[1].messages()[-1]["content"]


def test_a_task_may_not_last_for_ever():
    long = answer_of([("A", 1, 6, [("S", 1, 6, [("T", 1, 6)])])])
    short = answer_of([("A", 1, 6, [("S", 1, 6, [("T", 1, 3)])])])
    found, questions = segment(6, one_after_the_other([long, short]), seconds=70.0)
    assert len(found.segments) == 3
    assert "the task from 1 to 6 lasts 402 s, expected at most 300; cut it" in questions[1].messages()[-1]["content"]


def test_what_goes_on_may_not_last_for_ever_either():
    """A task that windows continue is measured from its beginning."""
    first = answer_of([("A", 1, 4, [("S", 1, 4, [("T", 1, 4)])])])
    goes_on = answer_of([("A", 3, 6, [("S", 3, 6, [("T", 3, 6)])])], continues="task")
    new = answer_of([("A", 3, 6, [("S", 3, 6, [("U", 3, 6)])])], continues="step")
    rest = answer_of([("A", 5, 6, [("S", 5, 6, [("U", 5, 6)])])], continues="task")
    found, questions = segment(6, one_after_the_other([first, goes_on, new, rest]), window=4, seconds=60.0)
    assert "the task from 1 to 6 lasts 345 s" in questions[2].messages()[-1]["content"]
    assert [(one.title, one.first, one.last) for one in found.segments if one.level is Level.TASK] == [
        ("T", 1, 2),
        ("U", 3, 6),
    ]


def test_a_window_without_a_usable_answer_is_lost_alone():
    wrong = answer_of([("A", 1, 2, [])])
    right = answer_of([("B", 5, 8, [])])
    found, questions = segment(8, one_after_the_other([wrong, wrong, right]), window=4)
    assert [(one.title, one.first, one.last) for one in found.segments] == [("B", 5, 8)]
    ((first, last, reason),) = found.lost
    assert (first, last, reason.reason) == (1, 4, "an answer that is wrong")
    assert questions[2].content["ongoing"] is None
    assert questions[2].content["earlier"] == [f"Sentence {at}." for at in range(1, 5)]


@pytest.mark.parametrize("outcome", ["cut short", "too long"])
def test_what_is_too_much_is_asked_in_halves(outcome):
    def answer(question):
        numbers = [one["number"] for one in question.content["sentences"]]
        if len(numbers) > 8:
            return Reply(outcome)
        return answer_of([(f"{numbers[0]}", numbers[0], numbers[-1], [])])

    found, questions = segment(20, answer)
    assert not found.lost
    assert [len(one.content["sentences"]) for one in questions[:3]] == [20, 10, 5]
    covered = [at for one in found.segments for at in range(one.first, one.last + 1)]
    assert covered == list(range(1, 21))


def test_what_is_still_too_much_is_lost():
    found, questions = segment(6, lambda question: Reply("too long", "2048 tokens"))
    assert [(first, last, reason.reason) for first, last, reason in found.lost] == [
        (1, 4, "too long"),
        (5, 6, "too long"),
    ]
    assert [len(one.content["sentences"]) for one in questions] == [6, 4, 2]


def test_a_question_has_nothing_of_other_videos_and_no_times():
    _, (question,) = segment(6, one_after_the_other([GOOD]))
    assert question.content == {
        **ABOUT,
        "ongoing": None,
        "earlier": [],
        "sentences": [{"number": at, "text": f"Sentence {at}."} for at in range(1, 7)],
    }
