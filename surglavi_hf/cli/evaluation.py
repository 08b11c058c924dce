# SPDX-License-Identifier: Apache-2.0
"""Commands that evaluate a model on benchmarks: evaluate, probe."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from ..options import add_options, options_of
from .command import add_command, show_table, warn
from .models import add_model, load_model

_PICTURES = ("confusion_matrix.png", "ribbons.png", "average_precision.png", "presence.png")


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "evaluate",
        _evaluate,
        _evaluate_options,
        help="zero-shot recognition on a benchmark, beside the published figures",
        description="Reads a benchmark, scores every labelled frame by the prompts of its classes, and prints the "
        "figures beside the published ones. Writes OUT/BENCHMARK/: report.json, report.md for a card, "
        "pictures (confusion_matrix.png and ribbons.png; of several classes a frame average_precision.png and "
        "presence.png), and the scores, from which a stopped evaluation goes on. Any SurgCLIP, "
        f"CLIP, SigLIP or encoder of your own. {which_benchmarks()}",
        example="evaluate cholec80_phases --root cholec80 --model surgclip-beta --output evaluation; "
        "on several GPUs: accelerate launch -m surglavi_hf.cli evaluate …",
    )
    add_command(
        commands,
        "probe",
        _probe,
        _probe_options,
        help="linear probing on a benchmark, beside the published figure",
        description="Fits linear classifiers to frozen features of a part of the training procedures. Writes "
        "OUT/BENCHMARK-probe/: report.json, report.md, linear_probe.png; and the features, once, to OUT/features/. "
        f"BENCHMARK is of one class a frame. {which_benchmarks()}",
        example="probe autolaparo --root autolaparo --model surgclip-beta --output evaluation",
    )
    add_command(
        commands,
        "benchmark",
        _benchmark,
        _benchmark_options,
        help="a first file for a benchmark of one's own videos and labels",
        description="Looks at a folder of videos and label files, and writes benchmark.yaml there with what it found "
        "and, as comments, what it could not know. Labels are tables of segments (video,start,end,label), a label a "
        "second or a frame, or exports of ELAN, BORIS or Label Studio.",
        example="benchmark init my_operations; then surglavi evaluate my_operations/benchmark.yaml --model MODEL",
    )


def which_benchmarks() -> str:
    """Said without importing what reads them."""
    names = sorted(path.stem for path in (Path(__file__).parents[1] / "evaluation" / "benchmarks").glob("*.yaml"))
    return (
        f"BENCHMARK is a YAML file (surglavi benchmark init FOLDER writes a first one) or one of {', '.join(names)}."
    )


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    _add_benchmark(parser)
    parser.add_argument("--split", default="test", help="(default: test)")
    parser.add_argument("--videos", nargs="+", metavar="NAME", help="only these videos of the split")
    parser.add_argument("--prompts", metavar="NAME|FILE", help="prompt set, 'names', or a YAML or JSON file")
    parser.add_argument(
        "--clean-prompts",
        action="store_true",
        help="clean prompts as the model's captions were (default: as they are, as the released evaluation)",
    )
    _add_measures(parser)
    from ..evaluation import Decoding

    add_options(parser, Decoding)


def _add_measures(parser: argparse.ArgumentParser) -> None:
    from ..evaluation import MeasureOptions

    add_options(parser, MeasureOptions)


def _evaluate(options: argparse.Namespace) -> int:
    from ..evaluation import Decoding, MeasureOptions, Windows, load_benchmark, zero_shot
    from ..evaluation.figures import draw_average_precision, draw_confusion_matrix, draw_presence, draw_ribbons
    from ..evaluation.launched import Processes
    from ..evaluation.overlap import benchmark_notice
    from ..evaluation.published import comparison, decoded_table, measure_table, protocol_rows, report_markdown
    from ..evaluation.report import check_replaceable
    from ..files import write_text

    benchmark = load_benchmark(
        options.benchmark,
        options.root,
        options.split,
        options.videos,
        options.variant,
        options.source,
        options.frames_dir,
        options.prompts,
    )
    decoding, train = options_of(Decoding, options), None
    if decoding.viterbi:  # whose labels alone are read
        train = load_benchmark(options.benchmark, options.root, "train", None, options.variant, "labels")
    folder = Path(options.output) / benchmark.name
    for name in ("report.json", "report.md", *_PICTURES):
        check_replaceable(folder / name, Path(name).suffix)
    model = load_model(options.model, options.revision)
    windows = options_of(Windows, options)
    report = zero_shot(
        model,
        None,
        benchmark,
        windows,
        options_of(MeasureOptions, options),
        options.output,
        options.batch_size,
        options.num_workers,
        options.clean_prompts,
        decoding,
        train,
    )
    if Processes().index:
        return 0
    _make_room(folder, *_PICTURES)
    if benchmark.kind == "single_label":
        draw_confusion_matrix(benchmark, report.predictions, folder / "confusion_matrix.png")
        draw_ribbons(benchmark, report.predictions, folder / "ribbons.png")
    else:
        draw_average_precision(report, folder / "average_precision.png")
        draw_presence(benchmark, report, folder / "presence.png")
    write_text(folder / "report.md", report_markdown(report))
    report.to_json(folder / "report.json")
    console = Console()
    console.print(show_table(f"{benchmark.title}, %", *comparison(report)))
    if report.published:
        console.print(report.published_note, markup=False)
    console.print(show_table("all that was measured, %", *measure_table(report)))
    if report.decoded:
        console.print(show_table("decoded over time, apart from the frame-wise figures, %", *decoded_table(report)))
    console.print(show_table("protocol", ["choice", "value"], protocol_rows(report)))
    warn(console, benchmark_notice(report.protocol["trained_on_videos"]))
    console.print(f"every video and class: {folder / 'report.md'}", markup=False)
    return 0


def _probe_options(parser: argparse.ArgumentParser) -> None:
    _add_benchmark(parser)
    from ..evaluation import Probe

    add_options(parser, Probe)
    _add_measures(parser)


def _probe(options: argparse.Namespace) -> int:
    from ..evaluation import MeasureOptions, Probe, Windows, linear_probe, load_benchmark
    from ..evaluation.figures import draw_linear_probe
    from ..evaluation.launched import Processes
    from ..evaluation.overlap import benchmark_notice
    from ..evaluation.published import protocol_rows, report_markdown
    from ..evaluation.report import check_replaceable
    from ..files import write_text

    settings = options_of(Probe, options)
    parts = [
        load_benchmark(
            options.benchmark, options.root, split, None, options.variant, options.source, options.frames_dir, "names"
        )
        for split in ("train", "test")
    ]
    output = Path(options.output)
    folder = output / f"{parts[1].name}-probe"
    for name in ("report.json", "report.md", "linear_probe.png"):
        check_replaceable(folder / name, Path(name).suffix)
    model = load_model(options.model, options.revision)
    windows = options_of(Windows, options)
    report = linear_probe(
        *(model, None, *parts, settings, windows, output / "features", options.batch_size, options.num_workers),
        measures=options_of(MeasureOptions, options),
    )
    if Processes().index:
        return 0
    _make_room(folder, "linear_probe.png")
    if settings.percents:
        draw_linear_probe(report, folder / "linear_probe.png")
    write_text(folder / "report.md", report_markdown(report))
    report.to_json(folder / "report.json")
    header = ["model", *(f"{percent} %" for percent in settings.percents)]
    rows = [
        [name, *(f"{row[str(p)]:.1f}" if str(p) in row else "–" for p in settings.percents)]
        for name, row in report.published.items()
    ]
    for way in ("video_mean", "all_frames"):
        cells = [_mean_and_std(report.metrics, f"macro_f1_{way}_at_{p}_percent") for p in settings.percents]
        rows.append([f"{report.model['name']}, {way.replace('_', ' ')}", *cells])
    console = Console()
    if settings.percents:
        console.print(
            show_table(f"{parts[1].title}: macro F1 in %, of a part of the training procedures", header, rows)
        )
    if settings.shots:
        cells = [_mean_and_std(report.metrics, f"macro_f1_all_frames_at_{shots}_shots") for shots in settings.shots]
        console.print(
            show_table("macro F1 in %, of frames a class", [f"{shots}" for shots in settings.shots], [cells])
        )
    console.print(show_table("protocol", ["choice", "value"], protocol_rows(report)))
    warn(console, benchmark_notice(report.protocol["trained_on_videos"]))
    console.print(f"every measure and video: {folder / 'report.md'}", markup=False)
    return 0


def _benchmark_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("init",), help="write a first file")
    parser.add_argument("folder", metavar="FOLDER", help="with videos and labels")
    parser.add_argument("--output", metavar="FILE", help="new YAML file (default: FOLDER/benchmark.yaml)")


def _benchmark(options: argparse.Namespace) -> int:
    from ..evaluation.benchmarks.draft import draft_benchmark
    from ..files import printable, write_text

    path = Path(options.output or Path(options.folder) / "benchmark.yaml")
    if path.exists():
        raise FileExistsError(f"{path} is there already; name another with --output, or move it away")
    draft = draft_benchmark(options.folder)
    write_text(path, draft.text)
    console = Console()
    console.print(show_table("found", ["what", "found"], [[name, printable(text)] for name, text in draft.found]))
    console.print("not known, and asked for in the file:")
    for text in draft.unknown:
        console.print(f"  - {printable(text)}", markup=False)
    console.print(f"next: surglavi evaluate {path} --model MODEL", markup=False, soft_wrap=True)
    return 0


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    from ..evaluation import EmbeddingOptions, Windows

    parser.add_argument("benchmark", metavar="BENCHMARK", help="a name, or a YAML file; see above")
    parser.add_argument("--root", metavar="DIR", help="folder of the data set (default: that of the YAML file)")
    parser.add_argument(
        "--output", default="evaluation", metavar="OUT", help="folder for reports and scores (default: evaluation)"
    )
    add_model(parser, "openai/clip-vit-base-patch32")
    parser.add_argument("--variant", help="which of the splits in use (default: see the report)")
    parser.add_argument(
        "--source",
        choices=("auto", "frames", "videos"),
        default="auto",
        help="frames on disk or videos (default: auto)",
    )
    parser.add_argument("--frames-dir", metavar="DIR", help="where the frames are, if not below the root")
    add_options(parser, Windows)
    add_options(parser, EmbeddingOptions, ("strict",))  # figures are of every frame


def _make_room(folder: Path, *pictures: str) -> None:
    """Removes what an earlier run left, of which this one may write less: what lies together is of one run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("report.json", "report.md", *pictures):
        (folder / name).unlink(missing_ok=True)


def _mean_and_std(metrics: dict, name: str) -> str:
    return f"{100 * metrics[f'{name}_mean']:.1f} ± {100 * metrics[f'{name}_std']:.1f}"
