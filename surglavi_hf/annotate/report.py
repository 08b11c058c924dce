# SPDX-License-Identifier: Apache-2.0
"""What became of a corpus: counts and losses of each stage, examples of what was left out, and clips to look at."""

import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data import Clip, Level, VideoDecodeError
from .corpus import AnnotatedCorpus
from .identifiers import find_identifiers
from .results import AnnotatedClip, AnnotatedVideo, Results
from .transcripts import join_words

EXAMPLES = 3
CLIPS_SHOWN = 24
UNGROUNDED = "kept; its caption names what was not said"
_LONGEST_TEXT = 160  # characters of an example
_FUNNEL = ("cut", "judged", "descriptive", "surgical", "seen", "kept", "captioned", "ungrounded")


@dataclass(frozen=True)
class LeftOut:
    """
    Something that was left out.

    Args:
        video: Of it.
        start, end: In seconds, None where it has no times.
        text: What was said there.
        detail: Why, where the kind does not say all.
    """

    video: str
    start: float | None
    end: float | None
    text: str
    detail: str


@dataclass
class Report:
    """
    Args:
        videos: Counts: all, on disk, with a transcript, with words.
        seconds: Of the videos with words.
        sources, languages: Of transcripts, with how many.
        stages: Of each that was run: model, prompt, questions, tokens, cost, failures, outcomes, unfinished.
        levels: Of each level counts by what became of it, and the median duration in seconds.
        left_out: How much of each kind was, by kind.
        examples: Of each kind.
        identifiers: In the transcripts, by kind.
        clips: That are kept, to draw some from.
    """

    videos: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    levels: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[LeftOut]] = field(default_factory=dict)
    identifiers: Counter[str] = field(default_factory=Counter)
    clips: list[tuple[str, AnnotatedClip]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON, without the clips."""
        return {
            "videos": self.videos,
            "seconds": round(self.seconds, 1),
            "sources": dict(self.sources),
            "languages": dict(self.languages),
            "stages": self.stages,
            "levels": self.levels,
            "left_out": dict(self.left_out),
            "examples": {kind: [vars(one) for one in some] for kind, some in self.examples.items()},
            "identifiers": dict(self.identifiers),
        }


def make_report(corpus: AnnotatedCorpus, seed: int = 0) -> Report:
    """
    Returns what became of a corpus.

    Args:
        corpus: Of it.
        seed: Of the choice of examples.
    """
    results, report, rng = Results(corpus), Report(), random.Random(seed)
    kept: dict[str, list[LeftOut]] = {}
    seconds: dict[Level, list[float]] = {level: [] for level in Level}
    counts = {level: Counter(dict.fromkeys(_FUNNEL, 0)) for level in Level}
    unfinished: Counter[str] = Counter()
    there = set(corpus.library.downloaded_names())
    totals = Counter({"all": len(corpus.all_rows), "on disk": 0, "transcribed": 0, "with words": 0})
    for video in results.videos():
        totals["on disk"] += video.name in there
        totals["transcribed"] += video.transcript is not None
        unfinished.update(video.unfinished)
        if video.transcript is not None and video.transcript.words:
            totals["with words"] += 1
            report.sources[video.transcript.source] += 1
            report.languages[video.transcript.language or "unknown"] += 1
            report.seconds += video.row["duration"] or video.transcript.words[-1].end
            report.identifiers.update(one.kind for one in find_identifiers(video.sentences))
        for kind, one in _left_out(video):
            report.left_out[kind] += 1
            _choose(kept.setdefault(kind, []), one, report.left_out[kind], rng)
        for clip in video.clips:
            _count(counts[clip.level], clip)
            seconds[clip.level].append(clip.end - clip.start)
            if clip.is_kept:
                report.clips.append((video.name, clip))
    report.videos, report.examples = dict(totals), kept
    for level in reversed(Level):
        median = statistics.median(seconds[level]) if seconds[level] else 0.0
        report.levels[level.name.lower()] = {**counts[level], "median_s": round(median, 1)}
    for stage, settings in results.settings.items():
        if settings is not None:
            spent = corpus.ledger.spent(stage)
            report.stages[stage] = {
                "model": settings.model,
                "prompt": settings.prompt.identity,
                "questions": spent.questions,
                "input_tokens": spent.input_tokens,
                "output_tokens": spent.output_tokens,
                "cost": round(spent.cost, 6),
                "supposed_cost": round(spent.supposed_cost, 6),
                "outcomes": dict(corpus.ledger.outcomes(stage)),
                "failures": dict(corpus.ledger.failures(stage)),
                "unfinished": unfinished[stage],
            }
    if results.view is not None:
        report.stages["look"] = {"model": results.view.model_name, "thresholds": vars(results.view)}
    return report


def sheet_of(
    report: Report, corpus: AnnotatedCorpus, frames: int, seed: int = 0, number: int = CLIPS_SHOWN
) -> list[tuple[str, Any]]:
    """
    Returns random clips that are kept: for each its caption, and frames of shape `(frames, 3, height, width)` or None,
    as [`draw_contact_sheet`] takes them.

    Args:
        report, corpus: Of them.
        frames: Of each.
        seed: Of the choice.
        number: At most so many.
    """
    chosen = random.Random(seed).sample(report.clips, min(number, len(report.clips)))
    pictures = []
    for name, clip in sorted(chosen, key=lambda one: (one[0], one[1].number)):
        words = f"{name}, {clip.level.name.lower()}, {clip.start:.1f}–{clip.end:.1f} s"
        caption = clip.caption or f"(narration) {_short(clip.text)}"
        marks = f"   [not said: {', '.join(clip.ungrounded)}]" if clip.ungrounded else ""
        try:
            found = Clip(name, clip.start, clip.end, str(corpus.library.root)).frames(frames)
        except (OSError, ValueError, VideoDecodeError):
            found = None
        pictures.append((f"{words}\n{caption}{marks}", found))
    return pictures


def report_folder(corpus: AnnotatedCorpus) -> Path:
    """Returns where reports of a corpus are written."""
    return corpus.ledger.path.parent


def _left_out(video: AnnotatedVideo) -> list[tuple[str, LeftOut]]:
    found: list[tuple[str, LeftOut]] = []
    if video.transcript is not None and not video.transcript.words:
        found.append(("video without speech", LeftOut(video.name, None, None, "", "")))
    if video.segmented is not None:
        sentences = video.sentences
        spans = [(first, last, "outside the operation", "") for first, last in video.segmented.outside]
        spans += [(first, last, f"not cut: {why.reason}", why.detail) for first, last, why in video.segmented.lost]
        for first, last, kind, detail in spans:
            text = join_words(one.text for one in sentences[first - 1 : last])
            found.append(
                (kind, LeftOut(video.name, sentences[first - 1].start, sentences[last - 1].end, _short(text), detail))
            )
    ends = f"the video ends at {video.row['duration']:.1f} s" if video.row["duration"] else "it has no length"
    found += [
        ("segment behind the end of its video", LeftOut(video.name, start, end, _short(text), ends))
        for start, end, text in video.timeless
    ]
    for clip in video.clips:
        found += [
            (kind, LeftOut(video.name, clip.start, clip.end, _short(clip.caption or clip.text), detail))
            for kind, detail in _kinds(clip)
        ]
    return found


def _kinds(clip: AnnotatedClip) -> list[tuple[str, str]]:
    found = []
    if clip.unjudged is not None:
        found.append((f"not judged: {clip.unjudged.reason}", clip.unjudged.detail))
    if clip.verdict is not None and not clip.verdict.surgical:
        found.append(("not surgical by its text", clip.verdict.reason))
    if clip.verdict is not None and not clip.verdict.descriptive:
        found.append(("not descriptive", clip.verdict.reason))
    if clip.view is not None and clip.view[2]:
        found.append(("clip that cannot be read", clip.view[2]))
    if clip.seen is False and clip.view is not None:
        found.append(("not endoscopic or surgical to see", f"shares {clip.view[0]:.2f} and {clip.view[1]:.2f}"))
    if clip.uncaptioned is not None:
        found.append((f"no caption: {clip.uncaptioned.reason}", clip.uncaptioned.detail))
    if clip.ungrounded:
        found.append((UNGROUNDED, ", ".join(clip.ungrounded)))
    return found


def _count(counts: Counter[str], clip: AnnotatedClip) -> None:
    counts["cut"] += 1
    counts["judged"] += clip.verdict is not None
    counts["descriptive"] += clip.is_descriptive is True
    counts["surgical"] += clip.is_surgical is True
    counts["seen"] += clip.seen is True
    counts["kept"] += clip.is_kept
    counts["captioned"] += clip.caption is not None
    counts["ungrounded"] += bool(clip.ungrounded)


def _choose(chosen: list[LeftOut], one: LeftOut, number: int, rng: random.Random) -> None:
    """Each of those that come is as likely among the examples."""
    if len(chosen) < EXAMPLES:
        chosen.append(one)
    elif (place := rng.randrange(number)) < EXAMPLES:
        chosen[place] = one


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 2]} …"


def rows_of_levels(report: Report) -> tuple[list[str], list[Sequence[str]]]:
    """Returns header and rows of the table of levels."""
    names = [name for name in _FUNNEL if name != "seen" or "look" in report.stages]
    rows = [
        [level, *(f"{counts[name]:,.0f}" for name in names), f"{counts['median_s']:.1f}"]
        for level, counts in report.levels.items()
    ]
    return ["level", *names, "median s"], rows
