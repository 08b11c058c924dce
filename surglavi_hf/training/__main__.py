# SPDX-License-Identifier: Apache-2.0
"""Trains SurgCLIP. Example:

accelerate launch -m surglavi_hf.training --data_dir DIR --output_dir OUT --level all --max_steps 1000
"""

import os
import sys
from argparse import ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter

from huggingface_hub.errors import StrictDataclassError
from transformers import HfArgumentParser

from ..data import VideoDecodeError
from .config import TrainingConfig
from .launch import missing_processes, restart_with
from .loop import train


class _HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Shows defaults, and the example as it is written."""


def main(arguments: list[str] | None = None) -> int:
    """Parses the flags and trains; returns the exit status, 1 with one line on standard error where it failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = HfArgumentParser(
        TrainingConfig,
        description=__doc__,
        prog="python -m surglavi_hf.training",
        formatter_class=_HelpFormatter,
    )
    try:
        (config,) = parser.parse_args_into_dataclasses(arguments)
        if (num_processes := missing_processes()) > 1:
            restart_with(num_processes, arguments)
        train(config)
    except (OSError, ValueError, VideoDecodeError, StrictDataclassError) as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(f"error: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _one_line(error: Exception) -> str:
    """The message; a DataLoader worker puts its traceback before it, a strict config the name of its validator."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    wrapped = "DataLoader worker" in lines[0] or isinstance(error, StrictDataclassError)
    return lines[-1].strip().split(": ", 1)[-1] if wrapped else lines[0]


if __name__ == "__main__":
    sys.exit(main())
