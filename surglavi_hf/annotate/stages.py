# SPDX-License-Identifier: Apache-2.0
"""The stages that ask a language model: segment, filter, enrich. Each goes on where it was stopped."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .asking import BudgetReachedError, Talk, Unfinished, hold_at_once, replay
from .batches import hold_in_batches
from .captions import SEGMENTS_A_QUESTION, Told
from .corpus import AnnotatedCorpus, StageSettings, missing_stage
from .language_model import LanguageModel, LanguageModelError, ServerOptions
from .ledger import Spent
from .prompts import read_prompt
from .results import AnnotatedVideo, Results
from .segment import WINDOW, SegmentedVideo


@dataclass
class StageRun:
    """
    What a run of a stage did.

    Args:
        stage: That was run.
        videos: It could be run on.
        talks: Conversations that there were.
        found: Segments, verdicts or captions.
        lost: What has none, by reason: sentences of windows, segments.
        unfinished: Conversations without an answer yet, by why.
        waiting: Videos whose stage before is not finished.
        questions: That were asked now.
        input_tokens, output_tokens, cost: Of them.
        failures: How often a question had no answer at once, by why.
        stopped: Why the run ended before its end, None where it did not.
    """

    stage: str
    videos: int = 0
    talks: int = 0
    found: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    unfinished: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    questions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    stopped: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all is there: nothing is left to ask, and nothing was asked in vain."""
        return not (self.unfinished or self.waiting or self.stopped or self.lost)


def stage_settings(stage: str, options: ServerOptions, prompts: str | os.PathLike | None = None) -> StageSettings:
    """
    Returns what a stage is to be run with.

    Raises:
        FileNotFoundError, ValueError: as [`read_prompt`].
    """
    size = WINDOW if stage == "segment" else SEGMENTS_A_QUESTION
    prompt, masked = read_prompt(stage, prompts), options.mask_identifiers
    return StageSettings(options.model_identity, options.model or "", prompt, size, masked)


def stage_talks(
    corpus: AnnotatedCorpus, settings: StageSettings, limit: int | None = None
) -> tuple[list[Talk[Any]], int, int]:
    """
    Returns the conversations of a stage, of how many videos they are, and how many more videos wait for the stage
    before.

    Args:
        corpus: Of them.
        settings: Of the stage.
        limit: At most so many videos with a narration, the first.

    Raises:
        ValueError: the stage before was never run.
    """
    stage = settings.prompt.stage
    before = {"segment": "transcribe", "filter": "segment", "enrich": "filter"}[stage]
    results = Results(corpus, {stage: settings})
    if not (corpus.transcripts if before == "transcribe" else results.settings[before]):
        raise missing_stage(stage, corpus.database)
    talks, videos, waiting = [], 0, 0
    for video in results.videos(before):
        if not video.sentences:
            continue
        if limit is not None and videos + waiting >= limit:
            break
        if video.unfinished:
            waiting += 1
            continue
        videos += 1
        talks += _talks_of(results, video, stage)
    return talks, videos, waiting


def _talks_of(results: Results, video: AnnotatedVideo, stage: str) -> list[Talk[Any]]:
    if stage == "segment":
        return [results.segment_talk(video)]
    return results.filter_talks(video) if stage == "filter" else results.enrich_talks(video)


def run_stage(
    corpus: AnnotatedCorpus, model: LanguageModel, settings: StageSettings, limit: int | None = None
) -> StageRun:
    """
    Runs a stage on all videos that are ready for it. What was answered before is not asked again.

    Args:
        corpus: Opened to write.
        model: That answers.
        settings: Of the stage, as [`stage_settings`] returns them.
        limit: At most so many videos with a narration, the first.

    Raises:
        ValueError: the stage before was never run.
    """
    stage = settings.prompt.stage
    talks, videos, waiting = stage_talks(corpus, settings, limit)
    run = StageRun(stage, videos, len(talks), waiting=waiting)
    corpus.ledger.set_settings(stage, settings.to_dict())
    before, failures = corpus.ledger.spent(stage), corpus.ledger.failures(stage)
    hold_all = hold_in_batches if model.options.batch else hold_at_once
    try:
        for found in hold_all(talks, model, corpus.ledger, stage):
            count(run, found)
    except (BudgetReachedError, LanguageModelError) as error:
        run.stopped = str(error)
    _add_spent(run, before, corpus.ledger.spent(stage))
    run.failures = corpus.ledger.failures(stage) - failures
    return run


def ask_again(corpus: AnnotatedCorpus, settings: StageSettings, limit: int | None = None) -> int:
    """
    Forgets what a stage was answered that could not be used, so that it is asked again. Returns how many replies.

    Args:
        corpus: Opened to write.
        settings: Of the stage.
        limit: At most so many videos with a narration, the first.

    Raises:
        ValueError: the stage before was never run.
    """
    talks, *_ = stage_talks(corpus, settings, limit)
    keys = []
    for talk in talks:
        found = replay(talk, corpus.ledger, settings.model)
        if isinstance(found, Unfinished):
            continue
        lost = [why for *_, why in found.lost] if isinstance(found, SegmentedVideo) else list(found.lost.values())
        keys += [question.key(settings.model) for why in lost for question in why.questions]
    return corpus.ledger.ask_again(settings.prompt.stage, settings.model, dict.fromkeys(keys))


def count(run: StageRun, found: "SegmentedVideo | Told | Unfinished") -> None:
    """Adds what a conversation came to."""
    if isinstance(found, Unfinished):
        run.unfinished[found.why] += 1
    elif isinstance(found, SegmentedVideo):
        run.found += len(found.segments)
        for first, last, reason in found.lost:
            run.lost[reason.reason] += last - first + 1
    else:
        run.found += len(found.verdicts) + len(found.captions)
        run.lost.update(reason.reason for reason in found.lost.values())


def _add_spent(run: StageRun, before: Spent, after: Spent) -> None:
    run.questions = after.questions - before.questions
    run.input_tokens = after.input_tokens - before.input_tokens
    run.output_tokens = after.output_tokens - before.output_tokens
    run.cost = after.cost - before.cost


def videos_with_words(corpus: AnnotatedCorpus, limit: int | None = None) -> Sequence[str]:
    """Returns the names of the videos with a narration, the first so many."""
    return list(corpus.sentences)[:limit]
