# SPDX-License-Identifier: Apache-2.0
"""The command that opens the browser: explore."""

import argparse
from functools import partial
from importlib.util import find_spec
from typing import Any

from ..options import add_options, options_of
from .command import add_command, add_data_dir
from .models import MODEL_HELP, load_model


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "explore",
        _explore,
        _options,
        help="a corpus in the browser: see it, search it, ask a model, correct it",
        description="Opens a page in the browser that shows what is in a corpus: charts, lists, videos with their "
        "phases, steps and tasks; searches it by words and, with --index, by meaning; shows with --model what a model "
        "says of a video; with --benchmark the ribbons and reports of an evaluation. The database is never written "
        "to: what is computed goes to DIR/explorer, and with --review corrections go to DIR/reviews.jsonl (see "
        "surglavi review). No request leaves this machine.",
        example="explore --data-dir demo/corpus --model demo/training/model --review",
    )


def _options(parser: argparse.ArgumentParser) -> None:
    from ..explorer.serve import ExploreOptions

    add_data_dir(parser, "folder that holds surglavi_beta.db; with --dataset that of the videos, if any")
    parser.add_argument("--model", help="that answers: " + MODEL_HELP.format(example="surgclip-beta"))
    parser.add_argument("--revision", metavar="COMMIT", help="of the Hub repository (default: its newest)")
    add_options(parser, ExploreOptions)


def _explore(options: argparse.Namespace) -> int:
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ImportError(f"{missing[0]} is not installed; pip install 'surglavi-hf[explorer]'")
    from ..explorer import ExploreOptions, open_explorer, serve

    chosen = options_of(ExploreOptions, options)
    model = partial(load_model, options.model, options.revision) if options.model else None
    serve(open_explorer(options.data_dir, chosen, model), chosen, partial(print, flush=True))
    return 0
