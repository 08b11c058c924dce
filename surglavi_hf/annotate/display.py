# SPDX-License-Identifier: Apache-2.0
"""Annotation as people look at it in a terminal. What models and people said is shown without control characters."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..files import printable
from .estimate import StageEstimate
from .report import UNGROUNDED, Report, rows_of_levels
from .stages import StageRun
from .transcribe import Transcribed

_SHOWN = 5  # of the videos that failed


def show_report(report: Report) -> RenderableType:
    """Returns tables of what became of a corpus."""
    counts = ", ".join(f"{number:,} {what}" for what, number in report.videos.items())
    parts: list[RenderableType] = [
        Text(f"videos: {counts}; {report.seconds / 3600:.2f} h of narrated video"),
        Text(f"transcripts: {_counted(report.sources)}; languages: {_counted(report.languages)}"),
        Text(f"likely identifiers in them: {_counted(report.identifiers)}"),
    ]
    asked = {stage: one for stage, one in report.stages.items() if stage != "look"}
    if asked:
        parts += [Text(printable(f"{stage}: {one['model']}, prompt {one['prompt']}")) for stage, one in asked.items()]
        header = ["stage", "answers", "tokens sent", "received", "cost", "open", "no answer at once"]
        rows = [
            [
                *(stage, f"{one['questions']:,}", f"{one['input_tokens']:,}", f"{one['output_tokens']:,}"),
                *(_cost(one["cost"]), f"{one['unfinished']:,}", _counted(one["failures"])),
            ]
            for stage, one in asked.items()
        ]
        parts.append(_table("what was asked", header, rows))
        parts.append(_table("what became of segments", *rows_of_levels(report)))
    if look := report.stages.get("look"):
        limits = f"endoscopic {look['thresholds']['endoscopic']:g}, surgical {look['thresholds']['surgical']:g}"
        parts.append(Text(f"seen by {printable(look['model'])}, thresholds: {limits}"))
    if report.left_out:
        rows = [
            [
                f"{kind}" if not place else "",
                f"{number:,}" if not place else "",
                _where(one.video, one.start),
                one.text,
                one.detail,
            ]
            for kind, number in sorted(report.left_out.items(), key=lambda one: (one[0] == UNGROUNDED, -one[1]))
            for place, one in enumerate(report.examples[kind])
        ]
        parts.append(_table("left out or marked, with examples", ["kind", "number", "where", "text", "why"], rows))
    return Group(*parts)


def show_transcribed(done: Transcribed) -> RenderableType:
    """Returns what transcription did."""
    counts = {
        "heard now": done.done,
        "kept from before": done.kept,
        "kept as they were edited": done.edited,
        "from subtitles": done.from_subtitles,
        "from the database": done.from_database,
    }
    lines = [
        f"transcripts of {done.num_videos:,} videos: {_counted(_some(counts))}; {done.words:,} words; languages: "
        f"{_counted(done.languages)}"
    ]
    without = {
        "without sound": done.without_sound,
        "without speech": done.without_speech,
        "not on disk": done.missing,
    }
    if some := _some(without):
        lines.append(f"no narration: {_counted(some)}")
    if done.without_times:
        lines.append(
            f"{done.without_times:,} transcriptions of the database have no times; the videos were heard instead"
        )
    for name, last in list(done.past_end.items())[:_SHOWN]:
        lines.append(f"{name}: words go to {last:.1f} s, past the end of the video; what is behind it gets no clip")
    if len(done.past_end) > _SHOWN:
        lines.append(f"{len(done.past_end) - _SHOWN:,} more go past the end of their video")
    if done.unused_subtitles:
        names = ", ".join(done.unused_subtitles[:_SHOWN])
        lines.append(f"{len(done.unused_subtitles):,} files of subtitles belong to no video, such as {names}")
    if done.removed:
        lines.append(f"{done.removed:,} signs of sounds, music and speakers were left out of subtitles")
    lines += [f"failed: {name}: {reason}" for name, reason in list(done.failed.items())[:_SHOWN]]
    if len(done.failed) > _SHOWN:
        lines.append(f"failed: {len(done.failed) - _SHOWN:,} more")
    return Text("\n".join(map(printable, lines)))


def show_run(run: StageRun) -> RenderableType:
    """Returns what a run of a stage did."""
    what = {"segment": "segments", "filter": "verdicts", "enrich": "captions"}[run.stage]
    lines = [
        f"{run.stage}: {run.found:,} {what} of {run.videos:,} videos; {run.questions:,} questions asked now, "
        f"{run.input_tokens:,} tokens sent, {run.output_tokens:,} received, cost {_cost(run.cost)}"
    ]
    if run.failures:
        lines.append(f"no answer at once: {_counted(run.failures)}; these were asked again")
    if run.lost:
        unit = "sentences" if run.stage == "segment" else "segments"
        lines.append(f"left out, {unit} without a usable answer: {_counted(run.lost)}; --ask-again asks again")
    if run.unfinished:
        lines.append(f"not finished: {_counted(run.unfinished)}; the same command goes on")
    if run.waiting:
        lines.append(f"{run.waiting:,} videos wait for the stage before; run it, then this again")
    return Text("\n".join(map(printable, lines)))


def show_estimates(estimates: Sequence[StageEstimate], priced: bool) -> RenderableType:
    """Returns a table of what stages will ask."""
    header = ["stage", "questions", "tokens sent", "tokens received", *(["cost"] if priced else []), "from"]
    rows = []
    for one in estimates:
        source = f"measured from {one.measured_from:,} answers here" if one.measured_from else "supposed, no pilot yet"
        if one.videos_guessed:
            source += f"; segments of {one.videos_guessed:,} videos guessed"
        cost = [f"{one.cost:.4f}"] if priced else []
        rows.append(
            [one.stage, f"{one.questions:,}", f"{one.input_tokens:,}", f"{one.output_tokens:,}", *cost, source]
        )
    if len(estimates) > 1:
        sums = [
            sum(getattr(one, name) for one in estimates) for name in ("questions", "input_tokens", "output_tokens")
        ]
        cost = [f"{sum(one.cost for one in estimates):.4f}"] if priced else []
        rows.append(["all", *(f"{number:,}" for number in sums), *cost, ""])
    return _table("what will be asked; nothing was", header, rows)


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=Text(title), title_justify="left")
    rows = [[printable(cell) for cell in row] for row in rows]
    for place, name in enumerate(header):
        words = any(row[place][:1].isalpha() for row in rows)
        table.add_column(Text(name), justify="left" if words else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _cost(cost: float) -> str:
    return f"{cost:.4f}" if cost else "–"  # no prices were given


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {what: number for what, number in counts.items() if number}


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in counts.items()) or "none"


def _where(video: str, start: float | None) -> str:
    return video if start is None else f"{video} {int(start) // 60}:{int(start) % 60:02}"
