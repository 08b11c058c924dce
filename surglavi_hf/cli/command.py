# SPDX-License-Identifier: Apache-2.0
"""How a command of `surglavi` is declared: once, in the file of its group."""

import argparse
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Run = Callable[[argparse.Namespace], int]


class CommandParser(argparse.ArgumentParser):
    """A parser that is filled when its command is the one that is run: `surglavi --help` imports no library."""

    fill: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args=None, namespace=None):
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)
            self.add_argument("--debug", action="store_true", help="show where an error comes from (its traceback)")
        return super().parse_known_args(args, namespace)


def add_command(
    commands: Any,
    name: str,
    run: Run,
    options: Callable[[argparse.ArgumentParser], None],
    *,
    help: str,
    description: str,
    example: str,
    usage: str | None = None,
    error_status: int = 1,
) -> None:
    """
    Adds a command.

    Args:
        commands: What `add_subparsers` returned.
        name: As it is typed.
        run: Does it; returns the exit status.
        options: Adds its flags to a parser; may import what they come from.
        help: A line of `surglavi --help`.
        description: What it reads, does and writes.
        example: Without `surglavi`.
        usage: Where argparse's own would mislead.
        error_status: The exit status of an error; 2 where 1 tells what was found.
    """
    epilog = f"example: surglavi {example}"
    parser = commands.add_parser(name, help=help, description=description, epilog=epilog, usage=usage)
    parser.fill = options
    parser.set_defaults(run=run, error_status=error_status)


def show_table(title: str, header: list[str], rows: list[list[str]]) -> Table:
    """Returns a table; columns of numbers are set right."""
    table = Table(title=Text(title))
    for place, name in enumerate(header):
        words = any(row[place][:1].isalpha() for row in rows)
        table.add_column(Text(name), justify="left" if words else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def warn(console: Console, text: str | None) -> None:
    if text:
        console.print(text, style="yellow", markup=False, soft_wrap=True)


def add_data_dir(parser: argparse.ArgumentParser, help: str = "folder that holds surglavi_beta.db", **kwargs) -> None:
    parser.add_argument("--data-dir", metavar="DIR", help=help, **kwargs)


def whole(least: int) -> Callable[[str], int]:
    """Returns what makes a whole number of a word, or refuses it."""

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number >= {least}")
        return int(text)

    return convert
