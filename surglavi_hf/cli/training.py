# SPDX-License-Identifier: Apache-2.0
"""The command that trains: train, the same as `python -m surglavi_hf.training`."""

from typing import Any


def add_commands(commands: Any) -> None:
    # Its flags are those of the settings, which files and runs that are resumed give, too: it parses them itself.
    commands.add_parser("train", help="contrastive training of SurgCLIP on clips and captions", add_help=False)


def train(arguments: list[str]) -> int:
    from ..training.__main__ import main

    return main(arguments, prog="surglavi train")
