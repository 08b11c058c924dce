# SPDX-License-Identifier: Apache-2.0
"""`--model`: what commands evaluate."""

import argparse
from typing import Any


def add_model(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--model", required=True, help=f"folder or Hub id, for example {example}")
    parser.add_argument("--revision", metavar="COMMIT", help="of the Hub repository (default: its newest)")


def load_model(options: argparse.Namespace) -> tuple[Any, Any]:
    from transformers.utils.hub import resolve_revision

    from ..evaluation.launched import Processes
    from ..surgclip import load_processor, load_whole

    try:
        revision = resolve_revision(options.model, options.revision)  # of both
        model = load_whole(options.model, revision=revision)
        model.config._commit_hash = getattr(revision, "resolved", None)  # which reports name
        processor = load_processor(options.model, revision)
    except OSError as error:  # whose message may leave out which model
        raise OSError(f"--model {options.model}, expected a folder or Hub id: {error}") from error
    return model.to(Processes().device).eval(), processor


def load_surgclip(options: argparse.Namespace) -> tuple[Any, Any]:
    model, processor = load_model(options)
    if not hasattr(processor, "video_processor"):
        raise ValueError(f"{options.model} is a {type(model).__name__}, which embeds no clips; expected a SurgCLIP")
    return model, processor
