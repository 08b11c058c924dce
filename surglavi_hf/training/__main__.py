# SPDX-License-Identifier: Apache-2.0
"""Trains SurgCLIP. Examples:

accelerate launch -m surglavi_hf.training --data_dir DIR --output_dir OUT --level all --max_steps 1000
accelerate launch -m surglavi_hf.training --config surgclip --data_dir DIR --output_dir OUT --dry_run
accelerate launch -m surglavi_hf.training --output_dir OUT --resume auto
"""

import os
import sys

from huggingface_hub.errors import StrictDataclassError

from ..data import VideoDecodeError
from .estimate import estimate_run
from .launch import missing_processes, restart_with
from .loop import train
from .settings import parse_settings


def main(arguments: list[str] | None = None) -> int:
    """Parses the flags and trains; returns the exit status, 1 with one line on standard error where it failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        config = parse_settings(arguments, __doc__, "python -m surglavi_hf.training")
        if (num_processes := missing_processes()) > 1:
            restart_with(num_processes, arguments)
        if config.dry_run:
            estimate = estimate_run(config)
            if _is_main_process():
                print(estimate)
        else:
            train(config)
    except (ImportError, OSError, RuntimeError, ValueError, VideoDecodeError, StrictDataclassError) as error:
        if _is_main_process():
            print(f"error: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _is_main_process() -> bool:
    """Of this machine; before Accelerate has started, too."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _one_line(error: Exception) -> str:
    """The message; a DataLoader worker puts its traceback before it, a strict config the name of its validator."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    wrapped = ("DataLoader worker" in lines[0] and len(lines) > 1) or isinstance(error, StrictDataclassError)
    return lines[-1].strip().split(": ", 1)[-1] if wrapped else lines[0]


if __name__ == "__main__":
    sys.exit(main())
