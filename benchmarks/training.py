# SPDX-License-Identifier: Apache-2.0
"""Memory of the contrastive loss up to a global batch of 65,536; clips a second, waiting for data and memory of whole
training steps. Example:

python benchmarks/training.py --data_dir demo/corpus

The loss of one process among many is simulated: its local rows against as many random columns as the global batch has.
The peer in the same run is a loss that holds the similarities of the whole global batch, as implementations do that
gather and then compute everything on every process. The peer of a training step with mini batches is the step in one
pass. Each figure is taken in a process of its own; memory is the peak beyond what was held before. On a GPU, where
there is one, it is that of the GPU, and MFU is the share of the rate of a large matrix product in the same type.
"""

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from model import matrix_rate
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from surglavi_hf import TrainingConfig
from surglavi_hf.training import ContrastiveLoss, SigLIPLoss
from surglavi_hf.training.accelerator import end_processes
from surglavi_hf.training.negatives import NUM_KEYS
from surglavi_hf.training.run import TrainingRun

DIM = 256
GLOBAL_BATCHES = (4096, 16384, 65536)
LOCAL_BATCHES = (64, 256, 1024)
LARGEST_PEER = 16384  # its two matrices of 65,536 squared, with gradients, would take 70 GB
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class PeakMemory:
    """The most memory used within a `with`, in bytes, beyond what was used before."""

    def __enter__(self):
        if DEVICE == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # the peak is what is used now
            self.before = self._status("VmRSS")
        return self

    def __exit__(self, *exception):
        peak = torch.cuda.max_memory_allocated() if DEVICE == "cuda" else self._status("VmHWM")
        self.bytes = peak - self.before

    def _status(self, name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def random_rows(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    video, text = (F.normalize(torch.randn(count, DIM, generator=generator), dim=1).to(DEVICE) for _ in range(2))
    keys = torch.randint(0, 2**40, (count, NUM_KEYS), generator=generator).to(DEVICE)
    return video.requires_grad_(), text.requires_grad_(), keys


def measure_loss(kind: str, local_batch: int, global_batch: int) -> tuple[float, float]:
    """Returns peak memory in bytes and seconds of a loss with its gradient."""
    whole, temperature = random_rows(global_batch, 0), torch.tensor([0.07], device=DEVICE, requires_grad=True)
    local = tuple(tensor[:local_batch].detach().clone() for tensor in whole)
    local = (local[0].requires_grad_(), local[1].requires_grad_(), local[2])
    loss_function = {"siglip": SigLIPLoss, "infonce": ContrastiveLoss}.get(kind, lambda negatives: None)("overlap")
    started = time.perf_counter()
    with PeakMemory() as memory:
        if kind == "peer":
            logits = whole[0] @ whole[1].T / temperature
            target = torch.arange(global_batch, device=DEVICE)
            ((F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2).backward()
        else:
            total, count = loss_function.sum_over_rows(local, whole, 0, temperature, temperature * 0)
            (total / count).backward()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
    return memory.bytes, time.perf_counter() - started


def measure_steps(data_dir: str, model: str | None, options: dict, steps: int) -> dict[str, float]:
    """Returns clips a second, the share of time waiting for data, and peak memory of training steps."""
    with tempfile.TemporaryDirectory() as output_dir:
        run = TrainingRun(
            TrainingConfig(data_dir, output_dir, model_name_or_path=model, max_steps=steps + 3, **options)
        )
        run.update(run.fetch())  # workers start, buffers are made
        batches = run.fetch()
        with FlopCounterMode(display=False) as counter:
            run.update(batches)
        waited = 0.0
        with PeakMemory() as memory:
            started = time.perf_counter()
            for _ in range(steps):
                before = time.perf_counter()
                batches = run.fetch()
                waited += time.perf_counter() - before
                run.update(batches)
            seconds = time.perf_counter() - started
        end_processes(run.accelerator)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(options["mixed_precision"], torch.float32)
    return {
        "clips_per_second": steps * run.global_batch_size / seconds,
        "data_wait": waited / seconds,
        "memory": memory.bytes,
        "mfu": counter.get_total_flops() * steps / (seconds - waited) / matrix_rate(dtype, DEVICE),
    }


def alone(function, *arguments):
    """The result of a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def show_loss(console: Console) -> None:
    table = Table("global batch", "local batch", "pairs", "infonce", "siglip", "whole matrix (peer)", "peer ÷ infonce")
    for global_batch in GLOBAL_BATCHES:
        peer = alone(measure_loss, "peer", 0, global_batch)[0] if global_batch <= LARGEST_PEER else None
        for local_batch in LOCAL_BATCHES:
            found = {kind: alone(measure_loss, kind, local_batch, global_batch) for kind in ("infonce", "siglip")}
            table.add_row(
                *(f"{global_batch:,}", f"{local_batch:,}", f"{global_batch * local_batch / 1e6:.1f} M"),
                *(f"{memory / 1e6:.0f} MB, {seconds:.2f} s" for memory, seconds in found.values()),
                f"{peer / 1e6:.0f} MB" if peer else "not tried",
                f"{peer / found['infonce'][0]:.1f}" if peer else "",
            )
    console.print(table)


def show_steps(console: Console, arguments: argparse.Namespace) -> None:
    table = Table("batch", "mini batch", "clips/s", "÷ one pass", "waiting for data", "memory", "÷ one pass", "MFU")
    for batch_size in arguments.batch_sizes:
        peer = None
        for mini_batch_size in (None, arguments.mini_batch_size):
            if mini_batch_size is not None and mini_batch_size >= batch_size:
                continue
            options = {
                "per_device_train_batch_size": batch_size,
                "mini_batch_size": mini_batch_size,
                "mixed_precision": arguments.mixed_precision,
                "dataloader_num_workers": arguments.num_workers,
            }
            found = alone(measure_steps, arguments.data_dir, arguments.model, options, arguments.steps)
            peer = peer or found
            table.add_row(
                *(str(batch_size), str(mini_batch_size or "one pass"), f"{found['clips_per_second']:.1f}"),
                f"{found['clips_per_second'] / peer['clips_per_second']:.2f}",
                *(f"{found['data_wait']:.1%}", f"{found['memory'] / 1e6:.0f} MB"),
                *(f"{found['memory'] / peer['memory']:.2f}", f"{found['mfu']:.0%}"),
            )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data_dir", help="corpus to train on, with frame stores; without it the loss alone is measured"
    )
    parser.add_argument("--model", help="SurgCLIP folder or Hub id; a tiny one by default")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--mini_batch_size", type=int, default=32)
    parser.add_argument("--num_workers", type=int, default=0)
    parser.add_argument("--mixed_precision", default="no", choices=["no", "fp16", "bf16"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--skip_loss", action="store_true", help="measure training steps alone")
    arguments = parser.parse_args()
    console = Console(width=120)
    if not arguments.skip_loss:
        show_loss(console)
    if arguments.data_dir:
        show_steps(console, arguments)


if __name__ == "__main__":
    main()
