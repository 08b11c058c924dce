# SPDX-License-Identifier: Apache-2.0
"""The command that sets models side by side: compare."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..options import add_options, options_of
from .clips import VALIDATION_FRACTION, add_captions, load_captions, selection
from .command import add_command, add_data_dir, show_table, warn
from .evaluation import which_benchmarks
from .models import MODEL_HELP, load_model

if TYPE_CHECKING:
    from ..evaluation import VideoEncoder
    from ..evaluation.benchmarks import Benchmark
    from ..evaluation.compare import Comparison

_MARK = ".surglavi-compare"  # of a folder that this command may write to
_LEVELS = ("task", "step", "phase")


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "compare",
        _compare,
        _compare_options,
        help="several models on several benchmarks, in one table",
        description="Measures every model on every benchmark by one protocol; a frame is read once for all models. "
        "Writes to OUT: comparison.md, .csv, .tex and .png, with 95 % intervals over videos, published figures and "
        "their sources; differences.csv, of all pairs of models; models.csv, with seconds, parameters and licences; "
        "ribbons/, a page for each video with all models. What is done is kept: a comparison that was stopped goes "
        f"on, and more models or prompts can be added. {which_benchmarks()}",
        example="compare autolaparo --root autolaparo --models surgclip-beta peskavlp openai/clip-vit-base-patch32 "
        "--tasks zero_shot probe --output comparison",
    )


def _compare_options(parser: argparse.ArgumentParser) -> None:
    from ..evaluation import Decoding, EmbeddingOptions, MeasureOptions, Probe, Windows
    from ..evaluation.compare import CompareOptions

    parser.add_argument(
        "benchmarks",
        nargs="*",
        metavar="BENCHMARK",
        help="a name, NAME=DIR with the folder of its data set, or a YAML file",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        required=True,
        metavar="MODEL",
        help=f"each a {MODEL_HELP.format(example='openai/clip-vit-base-patch32')}",
    )
    parser.add_argument("--output", default="comparison", metavar="OUT", help="folder (default: comparison)")
    parser.add_argument("--root", metavar="DIR", help="folder of the data set, of one benchmark")
    parser.add_argument("--split", default="test", help="(default: test)")
    parser.add_argument("--variant", help="which of the splits in use (default: see the table's protocol)")
    parser.add_argument(
        "--source",
        choices=("auto", "frames", "videos"),
        default="auto",
        help="frames on disk or videos (default: auto)",
    )
    parser.add_argument(
        "--prompts",
        metavar="A,B,C",
        help="prompt sets, 'names' or YAML or JSON files; of several there are mean and spread",
    )
    add_options(parser, CompareOptions)
    add_options(parser, Windows)
    add_options(parser, MeasureOptions)
    add_options(parser, Decoding)
    add_options(parser, Probe)
    add_options(parser, EmbeddingOptions, ("strict",))  # figures are of every frame
    add_data_dir(parser, "corpus of the task retrieval: holds surglavi_beta.db and videos")
    parser.add_argument("--level", choices=_LEVELS, help="of retrieval (default: each)")
    parser.add_argument(
        "--captions-split", choices=("train", "validation", "test"), default="validation", help="(default: validation)"
    )
    add_captions(parser, validation_fraction=VALIDATION_FRACTION)


def _compare(options: argparse.Namespace) -> int:
    from ..evaluation import Decoding, EmbeddingOptions, MeasureOptions, Probe, Windows
    from ..evaluation.compare import CompareOptions, compare, compare_retrieval, join
    from ..evaluation.launched import Processes

    chosen = options_of(CompareOptions, options)
    decoding, measures = options_of(Decoding, options), options_of(MeasureOptions, options)
    embedding, windows = options_of(EmbeddingOptions, options), options_of(Windows, options)
    probe = options_of(Probe, options)
    _check(options, chosen.tasks)
    benchmarks = [_read(options, text, chosen.tasks, decoding.viterbi) for text in options.benchmarks]
    names = _names(options.models)
    folder = Path(options.output)
    with _claimed(folder):
        models, licences = _load(names)
        shared = {"measures": measures, "embedding": embedding, "licences": licences}
        found = [
            compare(models, test, folder, train, prompts, chosen, windows, probe=probe, decoding=decoding, **shared)
            for test, train, prompts in benchmarks
        ]
        if "retrieval" in chosen.tasks:
            for level in [options.level] if options.level else _LEVELS:
                dataset = load_captions(options, level, options.captions_split)
                name, title = _corpus(options, level)
                protocol = {"level": level, "split": options.captions_split, **selection(options)}
                found.append(compare_retrieval(models, dataset, name, title, folder, protocol, **shared))
        comparison = join(found)
        if not comparison.figures:
            raise ValueError(f"there is nothing to compare: {'; '.join(comparison.notes)}; ask for others of --tasks")
        if Processes().index == 0:
            _write(comparison, [test for test, _, _ in benchmarks], chosen.average, folder)
    if Processes().index == 0:
        _show(comparison, chosen.average, folder)
    return 0


def _check(options: argparse.Namespace, tasks: tuple[str, ...]) -> None:
    if not options.benchmarks and set(tasks) != {"retrieval"}:
        raise ValueError("there is no benchmark; name one, or compare at --tasks retrieval alone")
    if ("retrieval" in tasks) != bool(options.data_dir):
        raise ValueError("--tasks retrieval and --data-dir, which holds its corpus, go together; give both or none")
    if options.root and len(options.benchmarks) > 1:
        raise ValueError("--root is of one benchmark; of several write NAME=DIR for each")


def _read(
    options: argparse.Namespace, text: str, tasks: tuple[str, ...], viterbi: bool
) -> "tuple[Benchmark, Benchmark | None, dict[str, Benchmark]]":
    """The test split, the training split where it is needed, and the test split with each prompt set."""
    from ..evaluation import load_benchmark

    name, equals, root = text.partition("=") if not Path(text).is_file() else (text, "", "")
    root = root if equals else options.root
    where = {"root": root or None, "variant": options.variant}
    wanted = [part.strip() for part in options.prompts.split(",")] if options.prompts else [None]
    if len(set(wanted)) < len(wanted) or not all(part is None or part for part in wanted):
        raise ValueError(f"--prompts {options.prompts}, expected names or files with commas between, each once")
    test = load_benchmark(name, split=options.split, source=options.source, prompts=wanted[0], **where)
    prompts = {_prompt_name(wanted[0], test): test}
    for part in wanted[1:]:
        other = load_benchmark(name, split=options.split, source="labels", prompts=part, **where)
        prompts[_prompt_name(part, other)] = test.with_prompts(other.prompts, str(other.protocol["prompts"]))
    train = None
    if "probe" in tasks and test.kind == "single_label":
        train = load_benchmark(name, split="train", source=options.source, prompts="names", **where)
    elif viterbi and test.kind == "single_label":  # whose labels alone are read
        train = load_benchmark(name, split="train", source="labels", prompts="names", **where)
    return test, train, prompts


def _prompt_name(prompts: str | None, benchmark: "Benchmark") -> str:
    if prompts is None:
        return str(benchmark.protocol["prompts"]).partition(":")[0]
    return Path(prompts).name


def _names(models: list[str]) -> dict[str, str]:
    """What each model is called, and what loads it: the last part of a path, unless two have the same."""
    short = [Path(text).name if Path(text).is_dir() else text for text in models]
    if len(set(models)) < len(models):
        twice = next(text for text in models if models.count(text) > 1)
        raise ValueError(f"--models has {twice} twice, expected each once")
    return {
        text if short.count(name) > 1 or not name else name: text for name, text in zip(short, models, strict=True)
    }


def _load(names: dict[str, str]) -> "tuple[dict[str, VideoEncoder], dict[str, str | None]]":
    from tqdm.auto import tqdm

    from ..evaluation.named_encoders import licence_of

    models = {name: load_model(text) for name, text in tqdm(names.items(), desc="load models", unit="model")}
    return models, {name: licence_of(text) for name, text in names.items()}


def _corpus(options: argparse.Namespace, level: str) -> tuple[str, str]:
    from ..data import read_corpus_info

    corpus = read_corpus_info(options.data_dir)
    return f"retrieval_{level}", f"{'SurgLaVi' if corpus is None else corpus.title}, {level}"


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Keeps a folder to this command, one at a time."""
    from filelock import FileLock, Timeout

    from ..evaluation.launched import Processes

    mark = folder / _MARK
    if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} has files of others; name a new folder with --output")
    lock = FileLock(folder / ".lock", timeout=0)

    def claim() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        try:
            lock.acquire()
        except Timeout as error:
            raise FileExistsError(f"another comparison is at work in {folder}; wait for it") from error

    Processes().first(claim)
    try:
        yield
    finally:
        lock.release()


def _write(comparison: "Comparison", benchmarks: "list[Benchmark]", average: str, folder: Path) -> None:
    from tqdm.auto import tqdm

    from ..evaluation import comparison_tables as tables
    from ..evaluation.figures import draw_comparison, draw_model_ribbons
    from ..evaluation.published import report_markdown
    from ..files import write_text

    write_text(folder / "comparison.md", tables.comparison_markdown(comparison, average))
    write_text(folder / "comparison.csv", tables.figures_csv(comparison))
    write_text(folder / "comparison.tex", tables.comparison_latex(comparison, average))
    write_text(folder / "differences.csv", tables.differences_csv(comparison))
    write_text(folder / "models.csv", tables.models_csv(comparison))
    draw_comparison(comparison, average, folder / "comparison.png")
    for (benchmark, model, prompts), report in comparison.reports.items():
        path = folder / "reports" / benchmark / f"{_file_name(model)}-{_file_name(prompts)}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        report.to_json(path)
        write_text(path.with_suffix(".md"), report_markdown(report))
    prompts_of = {benchmark: prompts for benchmark, _, prompts in reversed(comparison.reports)}  # the first ones
    pages = [(test, name) for test in benchmarks for name in comparison.predictions.get(test.name, {})]
    for test, name in tqdm(pages, desc="ribbons", unit="video"):
        place = folder / "ribbons" / test.name / f"{name}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        draw_model_ribbons(test, name, comparison.predictions[test.name][name], prompts_of[test.name], place)


def _file_name(text: str) -> str:
    """Of a model or prompt set."""
    return "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in text).strip(".") or "-"


def _show(comparison: "Comparison", average: str, folder: Path) -> None:
    from ..evaluation import comparison_tables as tables

    console = Console()
    header, rows = tables.figure_table(comparison, average)
    for place in range(3, len(header)):
        kept = [[row[0], row[place]] for row in rows if row[place] != "–"]
        console.print(show_table(f"{header[place]}, %", ["model", "figure"], kept))
    for number, source in enumerate(tables.sources(comparison, average), start=1):
        console.print(f"[{number}] {source}. {source.protocol}.", markup=False, soft_wrap=True, highlight=False)
    for note in comparison.notes:
        warn(console, note)
    for name, count in comparison.frames_read.items():
        console.print(f"{name}: {count:,} frames read, once for all models", markup=False)
    console.print(f"the whole comparison: {folder / 'comparison.md'}", markup=False, soft_wrap=True)
