# SPDX-License-Identifier: Apache-2.0
"""The command for videos without labels: predict."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from ..options import add_options, options_of
from .command import add_command, show_table
from .models import add_model, load_model


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "predict",
        _predict,
        _options,
        help="what a model sees in videos of your own, second by second",
        description="Classifies the frames of videos by prompts. Writes for each OUT/NAME.csv, its segments, and "
        "OUT/NAME.png, a ribbon with the confidence; predictions.json, what they depend on; and scores, from which a "
        "stopped prediction goes on. With --labels also report.json and report.md, how well it did. Videos that "
        "cannot be read are listed, and the exit status is 1.",
        example="predict operation.mp4 --prompts phases.yaml --model surgclip-beta --output prediction --smoothing "
        "10; phases.yaml has a line `class: a sentence that says what is seen` for each class",
    )


def _options(parser: argparse.ArgumentParser) -> None:
    from ..evaluation import EmbeddingOptions, MeasureOptions, PredictOptions, Windows

    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="a file, or a folder of files")
    parser.add_argument(
        "--prompts",
        required=True,
        metavar="FILE",
        help="YAML or JSON of classes with texts; or a benchmark, whose are taken",
    )
    parser.add_argument("--output", required=True, metavar="OUT", help="folder for the results")
    add_model(parser, "surgclip-beta")
    add_options(parser, PredictOptions)
    add_options(parser, Windows)
    add_options(parser, EmbeddingOptions)
    parser.add_argument("--labels", metavar="FILE", help="table video,start,end,label of some of them, to measure by")
    add_options(parser, MeasureOptions)


def _predict(options: argparse.Namespace) -> int:
    from ..evaluation import EmbeddingOptions, MeasureOptions, PredictOptions, Windows, predict
    from ..evaluation.figures import draw_prediction
    from ..evaluation.launched import Processes
    from ..evaluation.predict import check_request
    from ..evaluation.published import measure_table, report_markdown
    from ..evaluation.report import check_replaceable
    from ..files import printable, write_text

    output = Path(options.output)
    for name in ("report.json", "report.md") if options.labels else ():
        check_replaceable(output / name, Path(name).suffix)
    check_request(options.videos, options.prompts, options_of(PredictOptions, options), options.labels)
    found = predict(
        *(load_model(options.model, options.revision), None, options.videos, options.prompts, options.output),
        *(options_of(kind, options) for kind in (PredictOptions, Windows, EmbeddingOptions)),
        options.labels,
        options_of(MeasureOptions, options),
    )
    if Processes().index:
        return 0
    console = Console()
    for name, video in found.videos.items():
        draw_prediction(name, video, found.classes, str(found.protocol["smoothing"]), output / f"{name}.png")
    if len(found.videos) == 1:
        ((name, video),) = found.videos.items()
        rows = [[_clock(s.start), _clock(s.end), s.label, _share(s.confidence)] for s in video.segments]
        console.print(show_table(name, ["from", "to", "class", "confidence"], rows))
    else:
        rows = [[name, _clock(video.duration), f"{len(video.segments)}"] for name, video in found.videos.items()]
        console.print(show_table("predicted", ["video", "length", "segments"], rows))
    if found.report is not None:
        write_text(output / "report.md", report_markdown(found.report))
        found.report.to_json(output / "report.json")
        console.print(show_table(f"{found.report.title}, %", *measure_table(found.report)))
    chosen = [[key.replace("_", " "), str(value)] for key, value in found.protocol.items()]
    console.print(show_table("protocol", ["choice", "value"], chosen))
    console.print(f"tables and ribbons: {output}", markup=False, soft_wrap=True)
    for path, reason in found.unreadable.items():
        message = f"surglavi predict: {printable(path)} cannot be read ({printable(reason)})"
        Console(stderr=True).print(message, markup=False, highlight=False, soft_wrap=True)
    return 1 if found.unreadable else 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
