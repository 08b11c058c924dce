# SPDX-License-Identifier: Apache-2.0
"""The command annotate: its stages, what they cost, what they found, and how far two annotations agree."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..options import add_options, options_of
from .command import CommandParser, add_command, add_data_dir, show_table, whole
from .models import MODEL_HELP, load_model

if TYPE_CHECKING:
    from ..annotate.corpus import AnnotatedCorpus
    from ..annotate.language_model import LanguageModel

_SERVER = "--base-url http://localhost:8000/v1 --model Qwen/Qwen3-8B"


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "annotate",
        _without_stage,
        _stages,
        help="make a three-level corpus of narrated videos: transcribe, segment, filter, enrich, export",
        description="Makes a corpus of the form that SurgLaVi has out of narrated videos, in the four stages of its "
        "paper. DIR is what surglavi import --videos-only made, or a downloaded library. Everything can be stopped "
        "and started again, and nothing is asked of a language model twice: DIR/annotate/ledger.db keeps each answer.",
        example=f"annotate run --data-dir DIR {_SERVER}",
    )


def _stages(parser: argparse.ArgumentParser) -> None:
    stages = parser.add_subparsers(dest="stage", metavar="STAGE", parser_class=CommandParser)
    add_command(
        stages,
        "transcribe",
        _transcribe,
        _transcribe_options,
        help="what was said, word by word with times",
        description="Writes DIR/annotate/transcripts/VIDEO.json for each video: of subtitles (SRT, VTT) or of the "
        "database's transcriptions where they are, else by a speech model, on this machine. Where nobody speaks, "
        "nothing is heard.",
        example="annotate transcribe --data-dir DIR --speech-model large-v3-turbo",
    )
    add_command(
        stages,
        "identifiers",
        _identifiers,
        _data_dir_options,
        help="likely names, dates and numbers of persons in transcripts",
        description="Lists what in the transcripts may identify a person, by rules that do not find all: read "
        "transcripts before they are given away. Exit status 1 where there are any.",
        example="annotate identifiers --data-dir DIR",
        error_status=2,
    )
    for stage, (help, description) in _ASKING.items():
        options = _filter_options if stage == "filter" else _asking_options
        example = f"annotate {stage} --data-dir DIR {_SERVER} --estimate"
        add_command(stages, stage, partial(_ask, stage), options, help=help, description=description, example=example)
    add_command(
        stages,
        "export",
        _export,
        _export_options,
        help="the database of all that was found",
        description="Writes a database of SurgLaVi's schema, with a table of provenance, and the transcripts beside "
        "it: check, tree, explore, train and push then work on it. By default that of DIR, where it has no captions "
        "but those of an earlier export that nobody changed.",
        example="annotate export --data-dir DIR",
    )
    add_command(
        stages,
        "run",
        _run,
        _run_options,
        help="all stages, one after the other",
        description="Runs transcribe, segment, filter, enrich and export. Stopped, it goes on with the same command.",
        example=f"annotate run --data-dir DIR {_SERVER}",
    )
    add_command(
        stages,
        "report",
        _report,
        _report_options,
        help="counts and losses of each stage, and clips to look at",
        description="Shows what each stage found, lost and cost, with examples of each kind that was left out; writes "
        "them to DIR/annotate/report.json, and 24 random clips with their captions to DIR/annotate/clips.png.",
        example="annotate report --data-dir DIR",
    )
    add_command(
        stages,
        "agree",
        _agree,
        _agree_options,
        help="how far two annotations of the same videos agree",
        description="Compares two databases of the same videos: of another prompt, another model, or a person's "
        "review. Boundaries within 1, 2 and 5 seconds, segments, flags and captions.",
        example="annotate agree DIR reviewed.db",
    )


_ASKING = {
    "segment": (
        "phases, steps and tasks, by a language model",
        "A language model says which sentences make a phase, a step, a task; times come from the words. What is "
        "wrong with an answer is told it, and it is asked again; what stays wrong is left out and counted.",
    ),
    "filter": (
        "which segments describe surgery",
        "A language model judges from the text whether a segment is surgical and descriptive; with --visual-model a "
        "zero-shot model says from the picture whether its clip looks endoscopic and surgical.",
    ),
    "enrich": (
        "captions of the segments that the filter keeps",
        "A language model writes captions out of title, procedure, what was said before, and the segment. Names in a "
        "caption that none of them has are marked.",
    ),
}


def _without_stage(options: argparse.Namespace) -> int:
    raise ValueError("no stage is named; see surglavi annotate --help")


def _data_dir_options(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser, required=True)


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=whole(1), metavar="N", help="the first N videos alone, to try (default: all)")


def _transcribe_options(parser: argparse.ArgumentParser) -> None:
    from ..annotate.transcribe import TranscribeOptions

    _data_dir_options(parser)
    _add_limit(parser)
    add_options(parser, TranscribeOptions)


def _asking_options(parser: argparse.ArgumentParser) -> None:
    from ..annotate.language_model import ServerOptions

    _data_dir_options(parser)
    _add_limit(parser)
    parser.add_argument("--estimate", action="store_true", help="say what it will ask and cost, and ask nothing")
    parser.add_argument(
        "--ask-again", action="store_true", help="ask again what had no usable answer; else that is kept, too"
    )
    parser.add_argument("--yes", action="store_true", help="agree that texts go to the server, without being asked")
    parser.add_argument(
        "--prompts", metavar="DIR", help="folder whose segment.md, filter.md and enrich.md replace our prompts"
    )
    server = parser.add_argument_group("language model")
    add_options(server, ServerOptions)


def _filter_options(parser: argparse.ArgumentParser) -> None:
    from ..annotate.views import ViewOptions
    from ..evaluation import EmbeddingOptions

    _asking_options(parser)
    visual = parser.add_argument_group("visual side")
    visual.add_argument(
        "--visual-model", metavar="MODEL", help="that looks at clips: " + MODEL_HELP.format(example="surgclip-beta")
    )
    visual.add_argument("--visual-revision", metavar="COMMIT", help="of its Hub repository (default: its newest)")
    add_options(visual, ViewOptions)
    add_options(visual, EmbeddingOptions, leave_out=("strict",))


def _run_options(parser: argparse.ArgumentParser) -> None:
    from ..annotate.transcribe import TranscribeOptions

    _filter_options(parser)
    parser.add_argument("--output", metavar="NEW.db", help="where to export to (default: the database of DIR)")
    add_options(parser.add_argument_group("transcription"), TranscribeOptions)


def _export_options(parser: argparse.ArgumentParser) -> None:
    _data_dir_options(parser)
    parser.add_argument("--output", metavar="NEW.db", help="(default: the database of DIR)")


def _report_options(parser: argparse.ArgumentParser) -> None:
    _data_dir_options(parser)
    parser.add_argument("--seed", type=whole(0), default=0, help="of the clips that are shown (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _agree_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="A", help="a database, or the folder that holds it")
    parser.add_argument("second", metavar="B", help="another of the same videos")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON, those of each video, too")


def _transcribe(options: argparse.Namespace) -> int:
    from rich.console import Console

    from ..annotate.display import show_transcribed
    from ..annotate.transcribe import TranscribeOptions, transcribe

    done = transcribe(options.data_dir, options_of(TranscribeOptions, options), options.limit)
    Console().print(show_transcribed(done), soft_wrap=True)
    return done.exit_status


def _identifiers(options: argparse.Namespace) -> int:
    from rich.console import Console

    from ..annotate.corpus import open_corpus
    from ..annotate.identifiers import find_identifiers
    from ..files import printable

    rows = []
    with open_corpus(options.data_dir) as corpus:
        if not corpus.sentences:
            raise ValueError(f"no words to look at in {options.data_dir}; run surglavi annotate transcribe first")
        for name, sentences in corpus.sentences.items():
            for one in find_identifiers(sentences):
                text = sentences[one.sentence - 1].text
                rows.append([name, f"{one.start:.1f}", one.kind, one.text, text])
        number = len(corpus.sentences)
    console = Console()
    if rows:
        rows = [[printable(cell) for cell in row] for row in rows]
        console.print(show_table("likely identifiers", ["video", "second", "kind", "which", "sentence"], rows))
    counts = Counter(row[2] for row in rows)
    said = ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) or "none"
    console.print(f"{number:,} transcripts: {said}; rules do not find all", markup=False, soft_wrap=True)
    return 1 if rows else 0


def _ask(stage: str, options: argparse.Namespace) -> int:
    from ..annotate.corpus import open_corpus

    if stage == "filter":
        _check_thresholds(options)
    if stage == "filter" and options.visual_model and options.base_url is None and not options.estimate:
        with open_corpus(options.data_dir, to_write=True) as corpus:
            return _look(corpus, options)
    with open_corpus(options.data_dir, to_write=True) as corpus:
        return _ask_stages(corpus, [stage], options)


def _check_thresholds(options: argparse.Namespace) -> None:
    from ..annotate.views import ViewOptions

    if options_of(ViewOptions, options) != ViewOptions() and not options.visual_model:
        raise ValueError("thresholds are of a look at clips; give --visual-model, too")


def _ask_stages(corpus: "AnnotatedCorpus", stages: Sequence[str], options: argparse.Namespace) -> int:
    """Estimates stages, or runs them one after the other, the visual side of the filter before its questions."""
    from rich.console import Console

    from ..annotate.display import show_estimates, show_run
    from ..annotate.estimate import estimate_stages
    from ..annotate.language_model import LanguageModel, ServerOptions
    from ..annotate.stages import ask_again, run_stage, stage_settings

    console, server = Console(), options_of(ServerOptions, options)
    if server.model is None:
        raise ValueError("no language model is named; give --base-url URL and --model NAME")
    settings = {stage: stage_settings(stage, server, options.prompts) for stage in stages}
    if options.estimate:
        found = estimate_stages(corpus, list(settings.values()), server, options.limit)
        console.print(show_estimates(found, server.price_input is not None))
        return 0
    model = LanguageModel(server)
    _agree_to_send(corpus, model, stages, options)
    status = 0
    try:
        for stage, one in settings.items():
            if stage == "filter" and options.visual_model:
                status = max(status, _look(corpus, options))
            if options.ask_again:
                number = ask_again(corpus, one, options.limit)
                console.print(f"{stage}: {number:,} answers that could not be used are asked for again")
            run = run_stage(corpus, model, one, options.limit)
            console.print(show_run(run), soft_wrap=True)
            if run.stopped:
                raise RuntimeError(f"{stage}: {run.stopped}")
            status = max(status, 0 if run.is_whole else 1)
    finally:
        model.close()
    return status


def _agree_to_send(
    corpus: "AnnotatedCorpus", model: "LanguageModel", stages: Sequence[str], options: argparse.Namespace
) -> None:
    """Says which text goes where; asks once whether it may, where that is another machine."""
    from rich.console import Console

    from ..annotate.identifiers import find_identifiers
    from ..annotate.stages import videos_with_words

    names = videos_with_words(corpus, options.limit)
    if not names:
        return  # as the stage will say
    words = sum(len(corpus.transcripts[name].words) for name in names)
    found = sum(len(find_identifiers(corpus.sentences[name])) for name in names)
    key = f", with the key in {model.key_variable}" if model.key_variable else ", without a key"
    where = " on this machine" if model.is_local else ""
    lines = [
        f"{', '.join(stages)}: title, procedure and narration of {len(names):,} videos ({words:,} words) go to "
        f"{model.server}{where}, model {model.options.model}{key}"
    ]
    if found:
        fate = "are replaced by [name] and the like" if model.options.mask_identifiers else "are in them"
        lines.append(f"{found:,} likely identifiers of persons {fate}; surglavi annotate identifiers lists them")
    for line in lines:
        Console(stderr=True).print(line, markup=False, soft_wrap=True, style="yellow" if found else None)
    if model.is_local or corpus.ledger.agreed(model.server):
        return
    if not options.yes:
        if not sys.stdin.isatty():
            raise ValueError(f"nobody agreed yet that texts go to {model.server}; run it in a terminal, or with --yes")
        if input("May they? [y/N] ").strip().lower() not in ("y", "yes"):
            raise ValueError("nothing was sent")
    corpus.ledger.agree(model.server)


def _look(corpus: "AnnotatedCorpus", options: argparse.Namespace) -> int:
    from rich.console import Console

    from ..annotate.views import ViewOptions, look_at_clips
    from ..evaluation import EmbeddingOptions

    encoder = load_model(options.visual_model, options.visual_revision)
    chosen, embedding = options_of(ViewOptions, options), options_of(EmbeddingOptions, options)
    views = look_at_clips(corpus, encoder, chosen, embedding, options.limit)
    unreadable = sum(views.unreadable.values())
    line = (
        f"filter: {views.model} has seen {views.clips:,} clips, {views.known:,} of them before; {views.kept:,} look "
        f"endoscopic >= {chosen.endoscopic_threshold:g} and surgical >= {chosen.surgical_threshold:g}"
    )
    if unreadable or views.missing:
        line += (
            f"; {unreadable:,} cannot be read, of {views.missing:,} the video is not on disk: not judged by picture"
        )
    Console().print(line, markup=False, soft_wrap=True)
    return 1 if unreadable else 0


def _export(options: argparse.Namespace) -> int:
    from ..annotate.corpus import open_corpus

    with open_corpus(options.data_dir, to_write=True) as corpus:
        return _export_corpus(corpus, options.output)


def _export_corpus(corpus: "AnnotatedCorpus", output: str | None) -> int:
    from rich.console import Console

    from ..annotate.export import export_corpus
    from ..data.reviews import REVIEWS_NAME

    console, done = Console(), export_corpus(corpus, output)
    levels = ", ".join(f"{done.kept[level]:,} of {number:,} {level}" for level, number in done.captions.items())
    lines = [f"{done.database}: {done.videos:,} videos, {done.narrated:,} with captions; kept: {levels or 'none'}"]
    if done.unfinished:
        left = ", ".join(f"{number:,} of {stage}" for stage, number in done.unfinished.items())
        lines.append(f"questions without an answer yet: {left}; what they would tell is missing")
    if done.not_judged:
        lines.append(f"{done.not_judged:,} captions are not judged: their flags are NULL, and loading leaves them out")
    if (done.database.parent / REVIEWS_NAME).is_file():
        lines.append(f"{REVIEWS_NAME} is there: reviews of captions that are others now are listed, not applied")
    lines.append(f"next: surglavi check {done.database}; surglavi annotate report --data-dir {corpus.database.parent}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return 1 if done.unfinished else 0


def _run(options: argparse.Namespace) -> int:
    from ..annotate.corpus import open_corpus
    from ..annotate.language_model import LanguageModel, ServerOptions

    _check_thresholds(options)
    status = 0
    if not options.estimate:
        LanguageModel(options_of(ServerOptions, options)).close()  # before hours of transcription
        status = _transcribe(options)
    with open_corpus(options.data_dir, to_write=True) as corpus:
        status = max(status, _ask_stages(corpus, ["segment", "filter", "enrich"], options))
        if not options.estimate:
            exported = _export_corpus(corpus, options.output)
            status = max(status, exported if options.limit is None else 0)  # a pilot leaves some
    return status


def _report(options: argparse.Namespace) -> int:
    from rich.console import Console

    from ..annotate.corpus import open_corpus
    from ..annotate.display import show_report
    from ..annotate.report import make_report, report_folder, sheet_of
    from ..files import write_text

    console = Console()
    with open_corpus(options.data_dir) as corpus:
        report, folder = make_report(corpus, options.seed), report_folder(corpus)
        text = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
        write_text(folder / "report.json", f"{text}\n")
        lines = [f"{folder / 'report.json'}: all of it"]
        if report.clips and find_spec("matplotlib") is None:
            lines.append("no picture of clips without matplotlib; pip install 'surglavi-hf[evaluation]'")
        elif report.clips:
            from ..evaluation.figures import FRAMES_SHOWN, draw_contact_sheet

            pictures = sheet_of(report, corpus, FRAMES_SHOWN, options.seed)
            title = f"{len(pictures)} of {len(report.clips):,} clips that are kept, by chance"
            draw_contact_sheet(title, pictures, folder / "clips.png", columns=min(2, len(pictures)))
            lines.append(f"{folder / 'clips.png'}: {title}; look at it")
    if options.json:
        print(text)
        return 0
    console.print(show_report(report))
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return 0


def _agree(options: argparse.Namespace) -> int:
    from rich.console import Console

    from ..annotate.agree import compare_annotations

    agreement = compare_annotations(options.first, options.second)
    if options.json:
        print(json.dumps(agreement.to_dict(), ensure_ascii=False))
        return 0
    console = Console()
    for title, header, rows in agreement.tables():
        console.print(show_table(title, header, rows))
    return 0
