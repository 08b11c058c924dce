# SPDX-License-Identifier: Apache-2.0
"""The commands of `surglavi` that push to the Hub: push-dataset, push-model."""

import argparse
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from .hub import Pushed


def push_dataset(options: argparse.Namespace) -> int:
    from .files import printable
    from .hub import push_dataset

    done = push_dataset(
        options.data_dir,
        options.repo_id,
        options.embeddings,
        options.takedown,
        options.validation_fraction,
        options.test_fraction,
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


def push_model(options: argparse.Namespace) -> int:
    from .hub import push_model

    pushed = push_model(options.folder, options.repo_id, options.eval_result, options.public, options.tag)
    _show(Console(), pushed)
    return 0


def _show(console: Console, pushed: "Pushed") -> None:
    what = (
        f"{len(pushed.changed)} files changed" if pushed.changed else "nothing had changed, so there is no new commit"
    )
    seen = "public" if pushed.public else "private"
    where = f"{pushed.url} ({seen}) at {pushed.tag}, commit {pushed.commit[:8]}"
    console.print(f"{where}: {what}", markup=False, soft_wrap=True)
