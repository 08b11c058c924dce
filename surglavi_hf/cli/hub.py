# SPDX-License-Identifier: Apache-2.0
"""The commands of `surglavi` that push to the Hub: push-dataset, push-model, push-space."""

import argparse
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ..options import add_options, options_of
from .command import add_command, add_data_dir

if TYPE_CHECKING:
    from ..hub import Pushed


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "push-dataset",
        _push_dataset,
        _push_dataset_options,
        help="the tables of a corpus to a dataset repository, readable without this package",
        description="Writes the tables of a database as Parquet with a card and pushes them in one commit, tagged v1, "
        "v2, …. Never a byte of video. What others wrote into the card stays; the same data twice make no commit.",
        example="push-dataset --data-dir DIR --repo-id me/surglavi",
    )
    add_command(
        commands,
        "push-model",
        _push_model,
        _push_model_options,
        help="a trained or converted model with its card to a model repository",
        description="Pushes weights, processor, code, settings, reports and a card rendered from them in one commit, "
        "tagged v1, v2, …. Reports are those that surglavi evaluate, probe and retrieval left in FOLDER/evaluation.",
        example="push-model run/model --repo-id me/surgclip",
    )
    add_command(
        commands,
        "push-space",
        _push_space,
        _push_space_options,
        help="a Space that explores a pushed dataset in the browser, without videos and models",
        description="Writes a Space (Docker, CPU basic) that runs surglavi explore on a dataset which surglavi "
        "push-dataset filled, and pushes it in one commit, tagged v1, v2, …. It searches by meaning, too, where the "
        "dataset has embeddings. It carries the sources of this package, and no video, model or token.",
        example="push-space --dataset me/surglavi --repo-id me/explorer",
    )


def _push_dataset_options(parser: argparse.ArgumentParser) -> None:
    from ..data import SplitOptions

    add_data_dir(parser, required=True)
    _add_repository(parser, "me/surglavi")
    parser.add_argument("--embeddings", metavar="FILE", help="publish clip embeddings, too: Parquet of surglavi embed")
    parser.add_argument(
        "--takedown",
        metavar="FILE",
        help="what is left out and listed as taken down, beside what was before: YouTube ids, names, caption:NUMBER",
    )
    add_options(parser, SplitOptions)


def _push_dataset(options: argparse.Namespace) -> int:
    from ..data import SplitOptions
    from ..files import printable
    from ..hub import push_dataset

    done = push_dataset(
        options.data_dir,
        options.repo_id,
        options.embeddings,
        options.takedown,
        options_of(SplitOptions, options),
        options.public,
        options.tag,
    )
    table = Table("config", "split", "rows")
    table.columns[2].justify = "right"
    for (config, split), rows in done.rows.items():
        table.add_row(config, split, f"{rows:,}")
    console = Console()
    console.print(table)
    _show(console, done.pushed)
    if len(done.newly_taken_down):
        console.print(
            f"{len(done.newly_taken_down):,} new entries of the takedown list. Earlier commits and tags still have "
            "their rows; where those must go, too, delete the tags, then call HfApi().super_squash_history and "
            "HfApi().permanently_delete_lfs_files.",
            soft_wrap=True,
        )
    if len(done.unknown):
        entries = ", ".join(done.unknown.entries()[:3])
        console.print(
            f"{len(done.unknown):,} entries of {options.takedown} name nothing in this database "
            f"({printable(entries)}); expected YouTube ids, names of videos, or caption:NUMBER",
            markup=False,
            soft_wrap=True,
        )
    return 0


def _push_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="of training (OUTPUT/model) or surglavi convert")
    _add_repository(parser, "me/surgclip")
    parser.add_argument(
        "--eval-result",
        type=_pair,
        action="append",
        default=[],
        metavar="BENCHMARK:MEASURE=NAME/REPOSITORY:TASK",
        help="a registered benchmark of the Hub that a measure counts for; can be given several times",
    )


def _push_model(options: argparse.Namespace) -> int:
    from ..hub import push_model

    pushed = push_model(options.folder, options.repo_id, options.eval_result, options.public, options.tag)
    _show(Console(), pushed)
    return 0


def _push_space_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", required=True, metavar="NAME/REPOSITORY", help="to explore, for example me/surglavi"
    )
    _add_repository(parser, "me/explorer")


def _push_space(options: argparse.Namespace) -> int:
    from ..hub import push_space

    done = push_space(options.dataset, options.repo_id, options.public, options.tag)
    console = Console()
    _show(console, done.pushed)
    if not done.has_embeddings:
        console.print(
            f"{options.dataset} has no embeddings, so the Space searches by words alone; surglavi push-dataset "
            "--embeddings adds them, and push-space then takes them up",
            markup=False,
            soft_wrap=True,
        )
    if done.needs_token:
        console.print(
            f"{options.dataset} is read with a token: at {done.pushed.url}/settings add a secret HF_TOKEN, a token "
            "that may read this dataset and nothing else",
            markup=False,
            soft_wrap=True,
        )
    return 0


def _show(console: Console, pushed: "Pushed") -> None:
    what = (
        f"{len(pushed.changed)} files changed" if pushed.changed else "nothing had changed, so there is no new commit"
    )
    seen = "public" if pushed.public else "private"
    where = f"{pushed.url} ({seen}) at {pushed.tag}, commit {pushed.commit[:8]}"
    console.print(f"{where}: {what}", markup=False, soft_wrap=True)


def _add_repository(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--repo-id", required=True, metavar="NAME/REPOSITORY", help=f"for example {example}")
    parser.add_argument("--public", action="store_true", help="for everybody to see (default: private)")
    parser.add_argument("--tag", metavar="VERSION", help="of the commit (default: the next of v1, v2, …)")


def _pair(text: str) -> tuple[str, str]:
    measured, equals, registered = text.partition("=")
    if not equals or ":" not in measured:
        raise argparse.ArgumentTypeError(f"{text!r}, expected BENCHMARK:MEASURE=NAME/REPOSITORY:TASK")
    return measured, registered
