# SPDX-License-Identifier: Apache-2.0
"""Makes `accelerate launch --num_processes N` start N processes on a machine without accelerators.

accelerate (1.15) leaves starting several CPU processes to mpirun. Without it the launcher starts one, whatever N, and
says nothing; the number is only on the launcher's own command line.
"""

import os
import sys

import psutil
import torch
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import str_to_bool

# Set by whatever starts several processes: torchrun and the MPI implementations accelerate knows.
_STARTED_BY = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def missing_processes() -> int:
    """
    Returns how many processes the launcher was asked for where it started only this one, else 1.

    Raises:
        ValueError: it was asked for several, but has a GPU for one alone, or its command line does not say how many.
    """
    # accelerate's launcher sets ACCELERATE_USE_CPU always, MASTER_ADDR only for several processes.
    asked_for_several = "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ
    if not asked_for_several or any(name in os.environ for name in _STARTED_BY):
        return 1
    if torch.cuda.is_available() and not str_to_bool(os.environ["ACCELERATE_USE_CPU"]):
        raise ValueError(
            "accelerate launch was asked for several processes and started one, since there is one GPU; "
            "use --num_processes 1, or --cpu"
        )
    command = psutil.Process().parent().cmdline()
    # "accelerate launch …", "accelerate-launch …" or "python -m accelerate.commands.launch …"
    flags = next((command[place + 1 :] for place, word in enumerate(command) if word.endswith("launch")), [])
    arguments, _ = launch_command_parser().parse_known_args([*flags, "script"])
    if (arguments.num_machines or 1) > 1:
        raise ValueError(
            "accelerate launch starts no processes on several machines without GPUs; run on each torchrun --nnodes N "
            "--node_rank R --nproc_per_node P --master_addr ADDRESS -m surglavi_hf.training"
        )
    if not arguments.num_processes:
        raise ValueError(
            "accelerate launch started one CPU process of several; say how many with --num_processes N, or use "
            "torchrun --nproc_per_node N -m surglavi_hf.training"
        )
    return arguments.num_processes


def restart_with(num_processes: int, arguments: list[str]) -> None:
    """Replaces this process by torchrun with `num_processes` processes on this machine; does not return."""
    os.environ["ACCELERATE_USE_CPU"] = "true"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(num_processes)]
    os.execv(sys.executable, [*torchrun, "-m", "surglavi_hf.training", *arguments])
