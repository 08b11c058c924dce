# SPDX-License-Identifier: Apache-2.0
"""The commands of `surglavi` that run a model: evaluate, probe, retrieval, search, embed."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def evaluate(options: argparse.Namespace) -> int:
    from .evaluation import Windows, load_benchmark, zero_shot
    from .evaluation.overlap import benchmark_notice
    from .evaluation.pictures import draw_confusion_matrix, draw_ribbons
    from .evaluation.processes import Processes
    from .evaluation.published import UNKNOWN_AVERAGE, comparison, published_zero_shot, report_markdown
    from .evaluation.report import check_replaceable
    from .files import write_text

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
    folder = Path(options.output) / benchmark.name
    for name in ("report.json", "report.md", "confusion_matrix.png", "ribbons.png"):
        check_replaceable(folder / name, Path(name).suffix)
    model, processor = _load_model(options)
    windows = Windows(options.window, options.num_frames, options.stride)
    report = zero_shot(
        model,
        processor,
        benchmark,
        windows,
        options.absent_classes,
        options.output,
        options.batch_size,
        options.num_workers,
        options.clean_prompts,
    )
    if Processes().index:
        return 0
    _make_room(folder, "confusion_matrix.png", "ribbons.png")
    if benchmark.kind == "single_label":
        draw_confusion_matrix(benchmark, report.predictions, folder / "confusion_matrix.png")
        draw_ribbons(benchmark, report.predictions, folder / "ribbons.png")
    write_text(folder / "report.md", report_markdown(report))
    report.to_json(folder / "report.json")
    console = Console()
    _show(console, f"{benchmark.name}, %", *comparison(report))
    if published_zero_shot(benchmark.name):
        console.print(UNKNOWN_AVERAGE)
    split = f"split {benchmark.protocol['split']}, {benchmark.protocol['split_variant']}; videos: "
    console.print(split + str(benchmark.protocol["videos"]), markup=False)
    console.print(str(benchmark.protocol["split_note"]), markup=False)
    _warn(console, benchmark_notice(report.protocol["trained_on_videos"]))
    console.print(f"every choice and class: {folder / 'report.md'}", markup=False)
    return 0


def probe(options: argparse.Namespace) -> int:
    from .evaluation import Probe, Windows, linear_probe, load_benchmark
    from .evaluation.overlap import benchmark_notice
    from .evaluation.pictures import draw_linear_probe
    from .evaluation.processes import Processes
    from .evaluation.published import published_linear_probe, report_markdown
    from .evaluation.report import check_replaceable
    from .files import write_text

    settings = Probe(
        options.features, options.classifier, tuple(options.percents), tuple(options.shots), options.seeds
    )
    parts = [
        load_benchmark(
            options.benchmark, options.root, split, None, options.variant, options.source, options.frames_dir, "names"
        )
        for split in ("train", "test")
    ]
    output = Path(options.output)
    folder = output / f"{options.benchmark}-probe"
    for name in ("report.json", "report.md", "linear_probe.png"):
        check_replaceable(folder / name, Path(name).suffix)
    model, processor = _load_model(options)
    windows = Windows(options.window, options.num_frames, options.stride)
    report = linear_probe(model, processor, *parts, settings, windows, output / "features", options.batch_size)
    if Processes().index:
        return 0
    _make_room(folder, "linear_probe.png")
    published = published_linear_probe(options.benchmark)
    if settings.percents:
        draw_linear_probe(report, published, folder / "linear_probe.png")
    write_text(folder / "report.md", report_markdown(report))
    report.to_json(folder / "report.json")
    header = ["model", *(f"{percent} %" for percent in settings.percents)]
    rows = [
        [name, *(f"{row[p]:.1f}" if p in row else "–" for p in settings.percents)] for name, row in published.items()
    ]
    for way in ("video_mean", "all_frames"):
        cells = [_mean_and_std(report.metrics, f"macro_f1_{way}_at_{p}_percent") for p in settings.percents]
        rows.append([f"{report.model['name']}, {way.replace('_', ' ')}", *cells])
    console = Console()
    if settings.percents:
        _show(console, f"{options.benchmark}: macro F1 in %, of a part of the training procedures", header, rows)
    if settings.shots:
        cells = [_mean_and_std(report.metrics, f"macro_f1_all_frames_at_{shots}_shots") for shots in settings.shots]
        _show(console, "macro F1 in %, of frames a class", [f"{shots}" for shots in settings.shots], [cells])
    _warn(console, benchmark_notice(report.protocol["trained_on_videos"]))
    console.print(f"every choice: {folder / 'report.md'}", markup=False)
    return 0


def retrieval(options: argparse.Namespace) -> int:
    from .data import Level
    from .evaluation import retrieval
    from .evaluation.overlap import overlap_notice
    from .evaluation.published import report_markdown
    from .evaluation.report import check_replaceable
    from .files import write_text

    folder = Path(options.output)
    levels = [options.level] if options.level else [level.name.lower() for level in Level]
    for level in levels:
        for suffix in (".json", ".md"):
            check_replaceable(folder / f"surglavi_{level}_retrieval{suffix}", suffix)
    model, processor = _load_surgclip(options)
    folder.mkdir(parents=True, exist_ok=True)
    rows, names, left_out, notices = [], [], {}, []
    for level in levels:
        dataset = _load_split(options, level)
        report = retrieval(model, processor, dataset, f"surglavi_{level}_retrieval", strict=options.strict)
        report.protocol |= {"split": options.split, "split_fraction": options.fraction}
        report.to_json(folder / f"{report.benchmark}.json")
        write_text(folder / f"{report.benchmark}.md", report_markdown(report))
        left_out[folder / f"{report.benchmark}.json"] = len(report.unreadable)
        names = list(report.metrics)
        rows.append([level, *(f"{value:.4g}" for value in report.metrics.values())])
        notices.append(overlap_notice(model, report.protocol["trained_on_videos"]))
    turned = [[name, *values] for name, *values in zip(names, *(row[1:] for row in rows), strict=True)]
    console = Console()
    _show(console, "retrieval", ["measure", *(row[0] for row in rows)], turned)
    for notice in dict.fromkeys(notices):
        _warn(console, notice)
    return _say_left_out(options, sum(left_out.values()), *(path for path, count in left_out.items() if count))


def search(options: argparse.Namespace) -> int:
    from .data import VideoDecodeError
    from .evaluation import build_search_index, search
    from .evaluation.overlap import overlap_notice
    from .evaluation.pictures import FRAMES_SHOWN, draw_contact_sheet
    from .evaluation.report import check_replaceable
    from .evaluation.search import has_index, read_index
    from .files import printable

    if not options.text.strip() or options.top < 1:
        raise ValueError(f"TEXT {options.text!r}, --top {options.top}: expected words and a whole number >= 1")
    if options.output:
        check_replaceable(options.output, ".png")
    model, processor = _load_surgclip(options)
    level, split = options.level or "task", options.split or "train"
    selection = f"level {level}, split {split}"
    built = not has_index(options.index)
    if not built:
        there = read_index(options.index)["selection"]
        if (options.level or options.split) and there != selection:
            raise ValueError(f"{options.index} has {there}, not {selection}; name another folder")
    else:
        if not options.data_dir:
            raise ValueError(f"there is no index in {options.index} yet; give --data-dir to build it")
        options.split = split
        dataset = _load_split(options, level)
        build_search_index(model, processor, dataset, options.index, selection=selection, strict=options.strict)
    found = search(model, processor, options.index, options.text, options.top)
    console, pictures = Console(), []
    for place, clip in enumerate(found, start=1):
        what = f"{clip.score:.3f}  {printable(clip.title or clip.video_name)}  {_interval(clip)}"
        console.print(f"{place}. {what}  {clip.url or ''}", markup=False, soft_wrap=True)
        console.print(f"   {printable(clip.caption)}", markup=False, soft_wrap=True, style="dim")
        try:
            frames = clip.clip.frames(FRAMES_SHOWN) if options.output else None
        except (OSError, ValueError, VideoDecodeError):
            frames = None
        pictures.append((f"{what}\n{printable(clip.caption)}", frames))
    _warn(console, overlap_notice(model, read_index(options.index)["trained_on_videos"]))
    if options.output:
        draw_contact_sheet(printable(options.text), pictures, options.output)
    lacks = len(read_index(options.index)["unreadable"])
    status = _say_left_out(options, lacks, Path(options.index) / "index.json")
    return status if built else 0


def embed(options: argparse.Namespace) -> int:
    from datasets import load_dataset

    from . import data  # noqa: F401  registers "surglavi"
    from .evaluation import embed_captions
    from .evaluation.embed_captions import unreadable_path

    if Path(options.output).exists():
        raise FileExistsError(f"{options.output} is there already; name a new file")
    model, processor = _load_surgclip(options)
    level = options.level or "all"
    dataset = load_dataset("surglavi", level, data_dir=options.data_dir, split="train", available_only=True)
    number = embed_captions(model, processor, dataset, options.output, options.batch_size, options.strict)
    Console().print(f"{options.output}: embeddings of the clips of {number:,} captions", markup=False, soft_wrap=True)
    path = unreadable_path(options.output)
    lacks = len(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else 0
    return _say_left_out(options, lacks, path)


def _say_left_out(options: argparse.Namespace, number: int, *paths: Path) -> int:
    """Says where clips that could not be read are listed; returns the exit status."""
    if not number:
        return 0
    where = ", ".join(map(str, paths))
    message = f"surglavi {options.command}: {number:,} clips cannot be read and are left out; {where} lists them"
    Console(stderr=True).print(message, markup=False, highlight=False, soft_wrap=True)
    return 1


def _load_model(options: argparse.Namespace) -> tuple[Any, Any]:
    from transformers.utils.hub import resolve_revision

    from .evaluation.processes import Processes
    from .surgclip import load_processor, load_whole

    try:
        revision = resolve_revision(options.model, options.revision)  # of both
        model = load_whole(options.model, revision=revision)
        model.config._commit_hash = getattr(revision, "resolved", None)  # which reports name
        processor = load_processor(options.model, revision)
    except OSError as error:  # whose message may leave out which model
        raise OSError(f"--model {options.model}, expected a folder or Hub id: {error}") from error
    return model.to(Processes().device).eval(), processor


def _load_surgclip(options: argparse.Namespace) -> tuple[Any, Any]:
    model, processor = _load_model(options)
    if not hasattr(processor, "video_processor"):
        raise ValueError(f"{options.model} is a {type(model).__name__}, which embeds no clips; expected a SurgCLIP")
    return model, processor


def _load_split(options: argparse.Namespace, level: str) -> Any:
    from datasets import load_dataset

    from . import data  # noqa: F401  registers "surglavi"

    fractions = {f"{options.split}_fraction": options.fraction} if options.split != "train" else {}
    return load_dataset(
        "surglavi", level, data_dir=options.data_dir, split=options.split, available_only=True, **fractions
    )


def _make_room(folder: Path, *pictures: str) -> None:
    """Removes what an earlier run left, of which this one may write less: what lies together is of one run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("report.json", "report.md", *pictures):
        (folder / name).unlink(missing_ok=True)


def _show(console: Console, title: str, header: list[str], rows: list[list[str]]) -> None:
    table = Table(title=Text(title))
    for place, name in enumerate(header):
        words = any(row[place][:1].isalpha() for row in rows)
        table.add_column(Text(name), justify="left" if words else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _warn(console: Console, text: str | None) -> None:
    if text:
        console.print(text, style="yellow", markup=False, soft_wrap=True)


def _mean_and_std(metrics: dict, name: str) -> str:
    return f"{100 * metrics[f'{name}_mean']:.1f} ± {100 * metrics[f'{name}_std']:.1f}"


def _interval(clip: Any) -> str:
    return f"{_clock(clip.start_time)}–{_clock(clip.end_time)}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
