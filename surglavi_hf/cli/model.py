# SPDX-License-Identifier: Apache-2.0
"""The command that makes a model of released weights: convert."""

import argparse
from typing import Any

from .command import add_command

HUB = "aleperez24/SurgCLIP"


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "convert",
        _convert,
        _convert_options,
        help="released weights of SurgCLIP, SurgVLP and others as a folder for from_pretrained",
        description="Reads released weights, runs no code of theirs, and writes OUT: config, safetensors, processor, "
        "tokenizer, model code and a card with their licence. Which model they are of is told by their names: "
        "SurgCLIP; SurgVLP, HecVL, PeskaVLP; SurgLIME; LemonFM; PL-Stitch; SurgeNet's ConvNeXtV2, PVTv2 and CAFormer; "
        "Endo-FM. Refuses, and writes nothing, where a weight is missing, unknown, of another shape or not finite.",
        usage="surglavi convert [-h] (CHECKPOINT | --from-hub [--revision COMMIT]) OUT [--tokenizer DIR]",
        example="convert surgclip_beta.pth surgclip-beta; surglavi convert PeskaVLP.pth peskavlp",
    )


def _convert_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="for example surgclip_beta.pth")
    parser.add_argument("output", metavar="OUT", help="new or empty folder")
    parser.add_argument("--from-hub", action="store_true", help=f"download SurgCLIP's checkpoint from {HUB}")
    parser.add_argument(
        "--revision", metavar="COMMIT", help="of the Hub repository (default: its newest, which is told)"
    )
    parser.add_argument(
        "--tokenizer",
        metavar="DIR",
        help="folder or Hub id of its tokenizer (default: that of its authors, from the Hub)",
    )


def _convert(options: argparse.Namespace) -> int:
    if options.revision and not options.from_hub:
        raise ValueError("--revision is of the Hub; add --from-hub, or leave it out")
    from ..models import convert_checkpoint
    from ..surgclip import download_surgclip_checkpoint

    checkpoint, revision = options.checkpoint, None
    if options.from_hub:
        checkpoint, revision = download_surgclip_checkpoint(options.revision or "main")
        print(f"{HUB} at revision {revision}")
    folder = convert_checkpoint(checkpoint, options.output, options.tokenizer, revision)
    print(f"{folder}: load it with AutoModel.from_pretrained and AutoProcessor.from_pretrained")
    return 0
