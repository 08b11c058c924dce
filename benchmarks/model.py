# SPDX-License-Identifier: Apache-2.0
"""
Forward pass and training step of SurgCLIP-B, 16 × 224 × 224, and how much of the machine's matrix rate they reach.

The peer is the released forward pass written out (`released_surgclip.py`): the same weights, the same inputs, the same
process, in turns. Ours is the released layout with each implementation of attention, and compiled. A forward pass is
of both encoders, a clip and a caption of 77 tokens each; a training step is that, the backward pass and AdamW. In bf16
a forward pass has bf16 weights, and a training step float32 weights under autocast. Without dropout in the video
encoder, as the peer.

Multiply-adds are counted twice, as torch's FlopCounterMode counts the peer's; the matrix rate is the best of several
runs of one large product of the same type, and the share is of that, so that it can be compared between machines.
Peak memory is of a training step of a process of its own, beyond what Python and torch take.

    python benchmarks/model.py                 # on a GPU where there is one
    python benchmarks/model.py --batch_size 32 --repeats 10
    python benchmarks/model.py --dtypes bf16 --steps training --num_frames 2   # on a CPU without instructions for bf16
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

import psutil
import torch
from released_surgclip import ReleasedSurgCLIP
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from surglavi_hf import SurgCLIPConfig, SurgCLIPModel

PEER = "written out"
IMPLEMENTATIONS = (PEER, "eager", "sdpa", "compile")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
STEPS = ("forward", "training")


def inputs(batch_size: int, num_frames: int, device: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(batch_size, num_frames, 3, 224, 224, generator=generator)
    input_ids = torch.randint(1000, 30000, (batch_size, 77), generator=generator)
    return {
        "clips": clips.to(device),
        "input_ids": input_ids.to(device),
        "attention_mask": torch.ones_like(input_ids).to(device),
    }


def make_ours(device: str) -> SurgCLIPModel:
    model = SurgCLIPModel(SurgCLIPConfig(vision_config={"layout": "released", "drop_path_rate": 0.0}))
    return model.to(device)


def logits_of(model: torch.nn.Module) -> Callable[..., torch.Tensor]:
    if isinstance(model, ReleasedSurgCLIP):
        return model
    return lambda clips, input_ids, attention_mask: model(clips, input_ids, attention_mask)[0]


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(function: Callable[[], object], device: str) -> float:
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


def matrix_rate(dtype: torch.dtype, device: str) -> float:
    """FLOP/s of a large product of matrices, of the layouts that a linear layer has forward and backward."""
    size = 8192 if device == "cuda" else 1536
    one, two = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    products = (lambda: one @ two.T, lambda: one @ two, lambda: one.T @ two)
    return 2 * size**3 / min(seconds(product, device) for product in products for _ in range(4))


def count_flops(batch_size: int, num_frames: int) -> dict[str, int]:
    """Of the peer's forward pass and training step."""
    batch = inputs(batch_size, num_frames, "meta") | {"attention_mask": None}  # whose values would be looked at
    with torch.device("meta"):
        peer = ReleasedSurgCLIP()
        with FlopCounterMode(display=False) as forward:
            logits = peer(**batch)
        with FlopCounterMode(display=False) as backward:
            logits.sum().backward()
    total = forward.get_total_flops()
    return {"forward": total, "training": total + backward.get_total_flops()}


def runner(model: torch.nn.Module, step: str, dtype: torch.dtype, batch: dict, device: str) -> Callable[[], object]:
    """One forward pass or training step, to be called again and again."""
    logits = logits_of(model)
    if step == "forward":
        batch = {name: value.to(dtype) if value.is_floating_point() else value for name, value in batch.items()}

        def forward() -> None:
            with torch.inference_mode():
                logits(**batch)

        return forward
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)

    def train() -> None:
        with torch.autocast(device, dtype) if dtype != torch.float32 else nullcontext():
            loss = logits(**batch).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return train


def measure(step: str, dtype: torch.dtype, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of one step, the least of `repeats`, by implementation."""
    device, repeats = arguments.device, arguments.repeats
    torch.manual_seed(0)
    peer, ours = ReleasedSurgCLIP().to(device), make_ours(device)
    ours.load_state_dict(peer.state_dict())
    for model in (peer, ours):
        model.train(step == "training")
        if step == "forward":
            model.to(dtype)
    batch = inputs(arguments.batch_size, arguments.num_frames, device)
    compiled = torch.compile(ours)
    models = {PEER: peer, "eager": ours, "sdpa": ours, "compile": compiled}
    steps = {name: runner(model, step, dtype, batch, device) for name, model in models.items()}
    found: dict[str, list[float]] = {name: [] for name in steps}
    progress = tqdm(total=len(steps) * (repeats + 1), desc=f"{step} {dtype}", leave=False)
    for repeat in range(repeats + 1):
        for name, run in steps.items():
            ours.set_attn_implementation("eager" if name == "eager" else "sdpa")
            if repeat == 0 and name != "compile" and device == "cpu":
                progress.update()  # nothing to warm up but what the first matrices did
                continue
            elapsed = seconds(run, device)
            progress.update()
            if repeat:
                found[name].append(elapsed)
    progress.close()
    return {name: min(each) for name, each in found.items()}


def peak_memory(checkpointing: bool, batch_size: int, num_frames: int, device: str) -> float:
    """Bytes of a process that runs one float32 training step, beyond those before the model is made."""
    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    sizes = [before]

    def watch() -> None:
        while not done.wait(0.01):
            sizes.append(process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    model = make_ours(device).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    runner(model, "training", torch.float32, inputs(batch_size, num_frames, device), device)()
    done.set()
    thread.join()
    return torch.cuda.max_memory_allocated() if device == "cuda" else max(sizes) - before


def peak_memory_alone(checkpointing: bool, arguments: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--memory_of", json.dumps(checkpointing), "--device", arguments.device]
    command += ["--batch_size", str(arguments.batch_size), "--num_frames", str(arguments.num_frames)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def show(results: dict, rates: dict, flops: dict, memory: dict[bool, float], arguments: argparse.Namespace) -> None:
    console = Console(width=120)
    console.print(
        f"{arguments.device}, {os.cpu_count()} cores; {arguments.batch_size} clips of {arguments.num_frames} frames; "
        f"{flops['forward'] / 1e12:.2f} TFLOP forward, {flops['training'] / 1e12:.2f} TFLOP a training step"
    )
    table = Table("step", "type", "implementation", "seconds", "peer ÷ this", "GFLOP/s", "share of matrix rate")
    for (step, dtype), found in results.items():
        for name, elapsed in found.items():
            rate = flops[step] / elapsed
            share = f"{rate / rates[dtype]:.0%} of {rates[dtype] / 1e9:.0f}"
            table.add_row(
                step, dtype, name, f"{elapsed:.3f}", f"{found[PEER] / elapsed:.2f}", f"{rate / 1e9:.0f}", share
            )
    console.print(table)
    for step in arguments.steps:
        if all((step, dtype) in results for dtype in DTYPES):
            ours = [min(each for name, each in results[step, dtype].items() if name != PEER) for dtype in DTYPES]
            faster, ratio = ours[0] / ours[1], rates["bf16"] / rates["fp32"]
            console.print(f"{step}: bf16 is {faster:.2f} times as fast as fp32, its matrix rate {ratio:.2f} times")
    if memory:
        console.print(
            f"peak memory of a training step in fp32: {memory[False] / 1e9:.1f} GB, "
            f"with gradient checkpointing {memory[True] / 1e9:.1f} GB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=1, help="clips, and as many captions (default: 1)")
    parser.add_argument("--num_frames", type=int, default=16, help="of a clip (default: 16)")
    parser.add_argument("--repeats", type=int, default=2, help="of each step; the fastest counts (default: 2)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--memory_of", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(arguments.batch_size, arguments.num_frames, arguments.repeats) < 1:
        parser.error("expected a batch_size, num_frames and repeats of 1 or more")
    sizes = (arguments.batch_size, arguments.num_frames)
    if arguments.memory_of is not None:
        print(peak_memory(arguments.memory_of, *sizes, arguments.device))
        return
    flops = count_flops(*sizes)
    rates = {name: matrix_rate(DTYPES[name], arguments.device) for name in arguments.dtypes}
    results = {
        (step, name): measure(step, DTYPES[name], arguments) for name in arguments.dtypes for step in arguments.steps
    }
    memory = {}
    if "training" in arguments.steps:
        memory = {checkpointing: peak_memory_alone(checkpointing, arguments) for checkpointing in (False, True)}
    show(results, rates, flops, memory, arguments)


if __name__ == "__main__":
    main()
