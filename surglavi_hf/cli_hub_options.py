# SPDX-License-Identifier: Apache-2.0
"""The options of the commands that push to the Hub."""

import argparse
from typing import Any


def add_hub(commands: Any) -> None:
    dataset = commands.add_parser(
        "push-dataset",
        help="SurgLaVi's tables to a dataset repository, readable without this package",
        description="Writes the tables of a database as Parquet with a card and pushes them in one commit, tagged v1, "
        "v2, …. Never a byte of video. What others wrote into the card stays; the same data twice make no commit.",
        epilog="example: surglavi push-dataset --data-dir DIR --repo-id me/surglavi",
    )
    dataset.add_argument("--data-dir", "--data_dir", required=True, metavar="DIR", help="holds surglavi_beta.db")
    _add_repository(dataset, "me/surglavi")
    dataset.add_argument(
        "--embeddings", metavar="FILE", help="publish clip embeddings, too: Parquet of surglavi embed"
    )
    dataset.add_argument(
        "--takedown",
        metavar="FILE",
        help="what is left out and listed as taken down, beside what was before: YouTube ids, names, caption:NUMBER",
    )
    for split in ("validation", "test"):
        dataset.add_argument(
            f"--{split}-fraction", type=float, default=0.0, metavar="F", help=f"of the videos for {split} (default: 0)"
        )
    model = commands.add_parser(
        "push-model",
        help="a trained or converted model with its card to a model repository",
        description="Pushes weights, processor, code, settings, reports and a card rendered from them in one commit, "
        "tagged v1, v2, …. Reports are those that surglavi evaluate, probe and retrieval left in FOLDER/evaluation.",
        epilog="example: surglavi push-model run/model --repo-id me/surgclip",
    )
    model.add_argument("folder", metavar="FOLDER", help="of training (OUTPUT/model) or surglavi convert")
    _add_repository(model, "me/surgclip")
    model.add_argument(
        "--eval-result",
        type=_pair,
        action="append",
        default=[],
        metavar="BENCHMARK:MEASURE=NAME/REPOSITORY:TASK",
        help="a registered benchmark of the Hub that a measure counts for; can be given several times",
    )


def _add_repository(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--repo-id", required=True, metavar="NAME/REPOSITORY", help=f"for example {example}")
    parser.add_argument("--public", action="store_true", help="for everybody to see (default: private)")
    parser.add_argument("--tag", metavar="VERSION", help="of the commit (default: the next of v1, v2, …)")


def _pair(text: str) -> tuple[str, str]:
    measured, equals, registered = text.partition("=")
    if not equals or ":" not in measured:
        raise argparse.ArgumentTypeError(f"{text!r}, expected BENCHMARK:MEASURE=NAME/REPOSITORY:TASK")
    return measured, registered
