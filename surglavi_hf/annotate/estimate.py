# SPDX-License-Identifier: Apache-2.0
"""What a stage will ask and cost, said before it is run: measured on this corpus, where something was."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .asking import Unfinished, replay
from .captions import EnrichAnswer, FilterAnswer, shortened
from .corpus import AnnotatedCorpus, StageSettings, missing_stage
from .language_model import ServerOptions
from .questions import AnswerModel, Question
from .results import AnnotatedClip, AnnotatedVideo, Results
from .stages import stage_talks

ENOUGH = 3  # answers that are measured from
# Supposed, where nothing was measured: bytes a token of English and JSON, tokens of an answer a sentence or segment.
_BYTES_A_TOKEN = 3.8
_ANSWER_TOKENS = {"segment": 22.0, "filter": 40.0, "enrich": 45.0}
_SEGMENTS_A_SENTENCE = 0.75  # of all levels
_KEPT = 0.6
_AROUND_AN_ITEM = {"filter": 50, "enrich": 90}  # bytes of JSON


@dataclass(frozen=True)
class StageEstimate:
    """
    Args:
        stage: Of it.
        questions: That will be asked.
        input_tokens, output_tokens, cost: Of them.
        measured_from: Answers of this stage and model that it is measured from; 0 where it is supposed.
        videos_guessed: Of these videos the stage before is not done; their segments are guessed.
    """

    stage: str
    questions: int
    input_tokens: int
    output_tokens: int
    cost: float
    measured_from: int
    videos_guessed: int


@dataclass
class _Sum:
    """Of questions as they are first put."""

    questions: float = 0.0
    units: float = 0.0
    size: float = 0.0
    guessed: int = 0

    def add(self, question: Question) -> None:
        self.questions += 1
        self.units += question.units
        self.size += len(question)


def estimate_stages(
    corpus: AnnotatedCorpus, stages: Sequence[StageSettings], options: ServerOptions, limit: int | None = None
) -> list[StageEstimate]:
    """
    Returns what stages will ask, each after the other; nothing is asked, and answers that are there are not counted.

    Args:
        corpus: Of it.
        stages: What each is to be run with, as [`stage_settings`] returns it.
        options: With the prices.
        limit: At most so many videos with a narration, the first.

    Raises:
        ValueError: nothing was transcribed, or segmented where the filter comes first.
    """
    found = []
    settings = {one.prompt.stage: one for one in stages}
    for one in stages:
        if one.prompt.stage == "segment":
            total = _segment_questions(corpus, one, limit)
        else:
            total = _group_questions(corpus, settings, one, limit)
        found.append(_priced(corpus, one, options, total))
    return found


def _segment_questions(corpus: AnnotatedCorpus, settings: StageSettings, limit: int | None) -> _Sum:
    talks, *_ = stage_talks(corpus, settings, limit)
    total = _Sum()
    for talk in talks:
        reached = replay(talk, corpus.ledger, settings.model)
        if isinstance(reached, Unfinished):
            question = reached.question
            last = question.content["sentences"][-1]["number"]
            left = len(corpus.sentences[talk.name]) - last
            total.add(question)
            if left > 0:  # each further window reads some sentences again
                again = settings.size / 8
                windows = math.ceil(left / (settings.size - again))
                share = len(question) / max(1, question.units)
                total.questions += windows
                total.units += left + windows * again
                total.size += share * (left + windows * again)
    return total


def _group_questions(
    corpus: AnnotatedCorpus, settings: dict[str, StageSettings], one: StageSettings, limit: int | None
) -> _Sum:
    stage = one.prompt.stage
    results, narrated, total = Results(corpus, settings), 0, _Sum()
    if results.settings["segment"] is None:
        raise missing_stage(stage, corpus.database)
    kept = _kept_share(results) if stage == "enrich" else 1.0
    for video in results.videos("segment" if stage == "filter" else "filter"):
        if not video.sentences:
            continue
        narrated += 1
        if limit is not None and narrated > limit:
            break
        if not video.unfinished and video.segmented is not None:
            talks = results.filter_talks(video) if stage == "filter" else results.enrich_talks(video)
            for talk in talks:
                reached = replay(talk, corpus.ledger, one.model)
                if isinstance(reached, Unfinished):
                    total.add(reached.question)
        else:
            total.guessed += 1
            _guess(results, video, one, kept, total)
    return total


def _guess(results: Results, video: AnnotatedVideo, one: StageSettings, kept: float, total: _Sum) -> None:
    """Of a video that is not cut yet, or not judged."""
    stage = one.prompt.stage
    texts = [shortened(clip.text) for clip in video.clips]
    if video.segmented is None:
        number = max(1.0, _segments_a_sentence(results) * len(video.sentences))
        size = 3.0 * sum(len(sentence.text.encode()) for sentence in video.sentences)  # each level tells all of it
    else:
        number, size = float(len(texts)), float(sum(len(text.encode()) for text in texts))
    schema: type[AnswerModel] = FilterAnswer if stage == "filter" else EnrichAnswer
    around = len(one.prompt.text.encode()) + len(json.dumps(schema.model_json_schema())) + 300
    questions = math.ceil(number / one.size)
    total.questions += questions
    total.units += number * kept
    total.size += questions * around + (size + number * _AROUND_AN_ITEM[stage]) * kept


def _segments_a_sentence(results: Results) -> float:
    segments = sentences = 0
    for video in results.videos("segment"):
        if video.segmented is not None:
            segments += len(video.clips)
            sentences += len(video.sentences)
    return segments / sentences if sentences else _SEGMENTS_A_SENTENCE


def _kept_share(results: Results) -> float:
    clips: list[AnnotatedClip] = [
        clip for video in results.videos("filter") for clip in video.clips if clip.verdict is not None
    ]
    return sum(clip.is_kept for clip in clips) / len(clips) if clips else _KEPT


def _priced(corpus: AnnotatedCorpus, one: StageSettings, options: ServerOptions, total: _Sum) -> StageEstimate:
    """Answers that were asked for again are in what was measured, as part of the first."""
    stage = one.prompt.stage
    spent = corpus.ledger.spent(stage, one.model)
    measured = spent.first if spent.counted >= ENOUGH and spent.counted == spent.questions else 0
    if measured:
        again = spent.questions / spent.first
        sent = total.size * spent.input_tokens / spent.first_bytes
        received = total.units * spent.output_tokens / max(1, spent.units)
    else:
        again, sent, received = 1.0, total.size / _BYTES_A_TOKEN, total.units * _ANSWER_TOKENS[stage]
    return StageEstimate(
        stage,
        round(total.questions * again),
        round(sent),
        round(received),
        options.cost(sent, received),
        measured,
        total.guessed,
    )
