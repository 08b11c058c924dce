# SPDX-License-Identifier: Apache-2.0
"""`--model`: what commands evaluate."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..evaluation import VideoEncoder

MODEL_HELP = (
    "folder or Hub id, for example {example}; open_clip:NAME or sentence_transformers:NAME, of these libraries; "
    "package.module:function, which returns a VideoEncoder; or an encoder that an installed package registers"
)


def add_model(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--model", required=True, help=MODEL_HELP.format(example=example))
    parser.add_argument("--revision", metavar="COMMIT", help="of the Hub repository (default: its newest)")


def load_model(model: str, revision: str | None = None) -> "VideoEncoder":
    from ..evaluation import load_encoder

    if ":" in model and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, so that a module beside the user's stands in for none that is installed
    return load_encoder(model, revision)
