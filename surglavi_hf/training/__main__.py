# SPDX-License-Identifier: Apache-2.0
"""Trains SurgCLIP. Examples:

accelerate launch -m surglavi_hf.training --data_dir DIR --output_dir OUT --level all --max_steps 1000
accelerate launch -m surglavi_hf.training --config surgclip --data_dir DIR --output_dir OUT --dry_run
accelerate launch -m surglavi_hf.training --output_dir OUT --resume auto
"""

import os
import sys

from ..faults import INTERRUPTED, report


def main(arguments: list[str] | None = None, prog: str = "python -m surglavi_hf.training") -> int:
    """Parses the flags and trains; returns the exit status, 1 with one line on standard error where it failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        # Imported here, so that Ctrl-C meanwhile is one line, too; and what takes seconds after the flags are read.
        from .settings import parse_settings

        config = parse_settings(arguments, __doc__, prog)

        from .estimate import estimate_run
        from .launch import missing_processes, restart_with
        from .loop import train

        if (num_processes := missing_processes()) > 1:
            restart_with(num_processes, arguments)
        if config.dry_run:
            estimate = estimate_run(config)
            if _is_main_process():
                print(estimate)
        else:
            folder = train(config)
            if _is_main_process():
                print(f"{folder}: the trained model; next: surglavi evaluate BENCHMARK --model {folder}")
    except (Exception, KeyboardInterrupt) as error:
        if _is_main_process() or debug:
            return report(error, "", debug)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _is_main_process() -> bool:
    """Of this machine; before Accelerate has started, too."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


if __name__ == "__main__":
    sys.exit(main())
