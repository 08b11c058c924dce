# SPDX-License-Identifier: Apache-2.0
"""The command `surglavi`: parses, then makes one public call per command. One file a group of commands."""

import argparse
import io
import re
import sys

from ..faults import report
from ..options import with_dashes
from . import annotate, clips, compare, corpus, evaluation, explore, hub, library, model, predict, training
from .command import CommandParser

_GROUPS = (
    corpus,
    annotate,
    library,
    model,
    training,
    evaluation,
    compare,
    predict,
    clips,
    explore,
    hub,
)  # in the order of --help


def main(arguments: list[str] | None = None) -> int:
    """
    Runs one command; returns the exit status. Where it failed there is one line on standard error and the status is 1,
    or 2 of commands whose status 1 tells what they found.
    """
    arguments = with_dashes(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:
        return training.train(arguments[1:])
    further: list[str] = []
    if arguments[:1] == ["download"] and "--" in arguments:
        place = arguments.index("--")
        arguments, further = arguments[:place], arguments[place + 1 :]
    options = build_parser().parse_args(_reordered(arguments), argparse.Namespace(ytdlp_arguments=tuple(further)))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # captions need not fit a terminal's encoding
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except (Exception, KeyboardInterrupt) as error:
        status = report(error, f"surglavi {options.command}: ", options.debug)
        return options.error_status if status == 1 else status


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="surglavi", description="SurgLaVi and SurgCLIP, Hugging Face native.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=CommandParser)
    for group in _GROUPS:
        group.add_commands(commands)
    return parser


def _reordered(arguments: list[str]) -> list[str]:
    """One in sixty YouTube ids starts with a dash; argparse takes it for a flag unless it follows `--`."""
    if arguments[:1] == ["convert"] and "--from-hub" in arguments:
        return ["convert", model.HUB, *arguments[1:]]  # which stands where CHECKPOINT does
    if arguments[:1] != ["tree"]:
        return arguments
    dashed = [text for text in arguments if re.fullmatch(r"-[\w-]{10}", text, re.ASCII)]
    others = [text for text in arguments if text not in dashed]
    return [*others, "--", *dashed] if dashed and "--" not in arguments else arguments
