# SPDX-License-Identifier: Apache-2.0
"""The options of the commands that evaluate a model."""

import argparse
from typing import Any

# As load_benchmark takes them; written out so that --help needs no libraries.
BENCHMARKS = (
    "cholec80_phases",
    "cholec80_tools",
    "autolaparo",
    "bernbypass70_phases",
    "bernbypass70_steps",
    "strasbypass70_phases",
    "strasbypass70_steps",
    "grasp_phases",
    "grasp_steps",
    "grasp_tools",
    "sar_rarp50",
    "cholect50",
    "cholect50_phases",
    "heichole_phases",
    "heichole_tools",
)
# Several classes a frame, or no training split.
_NOT_PROBED = ("cholec80_tools", "grasp_tools", "cholect50", "heichole_phases", "heichole_tools")


def add_evaluation(commands: Any) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="zero-shot recognition on a benchmark, beside the published figures",
        description="Reads a benchmark as its owners ship it, scores every labelled frame by the prompts of its "
        "classes, and prints the figures beside the published ones. Writes OUT/BENCHMARK/: report.json, report.md for "
        "a card, confusion_matrix.png, ribbons.png, and the scores, from which a stopped evaluation goes on. Any "
        f"SurgCLIP, CLIP or SigLIP. BENCHMARK is one of {', '.join(BENCHMARKS)}.",
        epilog="example: surglavi evaluate cholec80_phases --root cholec80 --model surgclip-beta --output evaluation; "
        "on several GPUs: accelerate launch -m surglavi_hf.cli evaluate …",
    )
    _add_benchmark(evaluate)
    evaluate.add_argument("--split", default="test", help="(default: test)")
    evaluate.add_argument("--videos", nargs="+", metavar="NAME", help="only these videos of the split")
    evaluate.add_argument("--prompts", metavar="NAME|FILE", help="prompt set, 'names', or a YAML or JSON file")
    evaluate.add_argument(
        "--clean-prompts",
        action="store_true",
        help="clean prompts as the model's captions were (default: as they are, as the released evaluation)",
    )
    evaluate.add_argument(
        "--absent-classes",
        choices=("official", "zero", "left_out"),
        default="official",
        help="what a class counts that is not there (default: official)",
    )
    evaluate.add_argument("--num-workers", type=_number, default=0, metavar="N", help="processes that read frames")
    probe = commands.add_parser(
        "probe",
        help="linear probing on a benchmark, beside the published figure",
        description="Fits linear classifiers to frozen features of a part of the training procedures. Writes "
        "OUT/BENCHMARK-probe/: report.json, report.md, linear_probe.png; and the features, once, to OUT/features/. "
        f"BENCHMARK is one of class a frame: {', '.join(n for n in BENCHMARKS if n not in _NOT_PROBED)}.",
        epilog="example: surglavi probe autolaparo --root autolaparo --model surgclip-beta --output evaluation",
    )
    _add_benchmark(probe)
    probe.add_argument("--features", choices=("raw", "projected", "both"), default="both", help="(default: both)")
    probe.add_argument(
        "--classifier",
        choices=("logistic_regression", "torch_linear"),
        default="logistic_regression",
        help="(default: logistic_regression)",
    )
    probe.add_argument(
        "--percents", nargs="*", type=_number, default=[10, 50, 100], help="of procedures (default: 10 50 100)"
    )
    probe.add_argument("--shots", nargs="*", type=_number, default=[], metavar="N", help="few-shot: frames a class")
    probe.add_argument("--seeds", type=_number, default=5, metavar="N", help="draws averaged (default: 5)")
    _add_surglavi(commands)


def _add_surglavi(commands: Any) -> None:
    retrieval = commands.add_parser(
        "retrieval",
        help="text-to-video and video-to-text retrieval on SurgLaVi",
        description="Ranks clips for captions and captions for clips, level by level. Writes a report of each.",
        epilog="example: surglavi retrieval --data-dir DIR --model surgclip-beta --output evaluation",
    )
    retrieval.add_argument("--data-dir", "--data_dir", required=True, metavar="DIR", help="holds surglavi_beta.db")
    retrieval.add_argument("--output", required=True, metavar="OUT", help="folder for the reports")
    _add_split(retrieval, "validation")
    _add_strict(retrieval)
    search = commands.add_parser(
        "search",
        help="the clips that are most like a text",
        description="Looks through an index of clip embeddings; builds it first where there is none, which --data-dir "
        "is for.",
        epilog='example: surglavi search "clip the cystic duct" --index index --model surgclip-beta --data-dir DIR '
        "--output found.png",
    )
    search.add_argument("text", metavar="TEXT", help="what to look for")
    search.add_argument("--index", required=True, metavar="DIR", help="folder of the index; new, to build it")
    search.add_argument("--data-dir", "--data_dir", metavar="DIR", help="holds surglavi_beta.db and the videos")
    search.add_argument("--top", type=_number, default=5, metavar="N", help="clips shown (default: 5)")
    search.add_argument("--output", metavar="FILE", help="write a contact sheet, NAME.png")
    _add_split(search, None)
    _add_strict(search)
    _add_embed(commands)


def _add_embed(commands: Any) -> None:
    embed = commands.add_parser(
        "embed",
        help="the embeddings of all clips that are on disk, as a Parquet file",
        description="Writes a row for each caption: caption_id, embedding (float16), model_id, model_revision, as "
        "surglavi push-dataset --embeddings publishes. Can be stopped and started again: what is done lies in "
        ".NAME-parts beside FILE until it is through. FILE.unreadable.json lists the clips that cannot be read.",
        epilog="example: surglavi embed --data-dir DIR --model surgclip-beta --output embeddings.parquet",
    )
    embed.add_argument(
        "--data-dir", "--data_dir", required=True, metavar="DIR", help="holds surglavi_beta.db and videos"
    )
    embed.add_argument("--output", required=True, metavar="FILE", help="new Parquet file")
    embed.add_argument("--level", choices=("task", "step", "phase"), help="(default: all)")
    embed.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="clips a pass (default: 32)")
    _add_model(embed, "surgclip-beta")
    _add_strict(embed)


def _add_strict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first clip that cannot be read (default: leave it out, list it, exit status 1)",
    )


def _add_split(parser: argparse.ArgumentParser, default: str | None) -> None:
    _add_model(parser, "surgclip-beta")
    parser.add_argument("--level", choices=("task", "step", "phase"), help="(default: each; of an index: task)")
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default=default,
        help="(default: validation; of an index: train)",
    )
    parser.add_argument(
        "--fraction",
        type=float,
        default=0.05,
        metavar="F",
        help="of the videos in that split (default: 0.05)",
    )


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("benchmark", choices=BENCHMARKS, metavar="BENCHMARK", help="see above")
    parser.add_argument("--root", required=True, metavar="DIR", help="folder of the data set")
    parser.add_argument("--output", required=True, metavar="OUT", help="folder for reports and scores")
    _add_model(parser, "openai/clip-vit-base-patch32")
    parser.add_argument("--variant", help="which of the splits in use (default: see the report)")
    parser.add_argument(
        "--source",
        choices=("auto", "frames", "videos"),
        default="auto",
        help="frames on disk or videos (default: auto)",
    )
    parser.add_argument("--frames-dir", metavar="DIR", help="where the frames are, if not below the root")
    parser.add_argument(
        "--window",
        choices=("centered", "online"),
        default="centered",
        help="around or up to a frame (default: centered)",
    )
    parser.add_argument("--num-frames", type=_number, metavar="N", help="of a window (default: the model's, or 16)")
    parser.add_argument("--stride", type=_number, default=1, metavar="N", help="between its frames (default: 1)")
    parser.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="windows a pass (default: 32)")


def _add_model(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--model", required=True, help=f"folder or Hub id, for example {example}")
    parser.add_argument("--revision", metavar="COMMIT", help="of the Hub repository (default: its newest)")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number >= 1")
    return int(text)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number >= 0")
    return int(text)
