# SPDX-License-Identifier: Apache-2.0
"""Model cards, from the files of a model's folder alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from string import Template

from safetensors import safe_open


def render_model_card(folder: str | Path) -> str:
    """
    Returns the card of a trained model: what it is, the settings it was trained with (`training.json`), how far it
    came and what was measured on the way (`metrics.jsonl`).

    Raises:
        FileNotFoundError: the folder lacks `config.json`, `model.safetensors`, `training.json` or `metrics.jsonl`.
    """
    folder = Path(folder)
    vision = json.loads((folder / "config.json").read_text())["vision_config"]
    settings = json.loads((folder / "training.json").read_text())
    lines = list(_lines((folder / "metrics.jsonl").read_text()))
    last = lines[-1] if lines else {}
    measured = next((line for line in reversed(lines) if any(name.startswith("validation/") for name in line)), {})
    with safe_open(folder / "model.safetensors", "pt") as file:
        sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118  no mapping
    parameters = sum(_product(size) for size in sizes)
    template = Template((Path(__file__).parent / "trained_card.md").read_text(encoding="utf-8"))
    return template.substitute(
        step=last.get("step", 0),
        parameters=f"{parameters:,}",
        num_frames=vision["num_frames"],
        image_size=vision["image_size"],
        layout=vision["layout"],
        progress=_progress(last),
        settings="\n".join(f"| {name} | {_cell(value)} |" for name, value in settings.items()),
        results=_results(measured),
    )


def _lines(text: str) -> Iterator[dict]:
    """Skips what a full disk or a kill left half written."""
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _product(sizes: list[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _progress(last: dict) -> str:
    if last.get("loss") is None:
        return "Untrained."
    return (
        f"Step {last['step']}, epoch {last['epoch']}, loss {last['loss']:.3f}, temperature {last['temperature']:.4f}."
    )


def _results(measured: dict) -> str:
    figures = {name.removeprefix("validation/"): value for name, value in measured.items() if "validation/" in name}
    if not figures:
        return ""
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
    return f"\n## Validation, step {measured['step']}\n\n| measure | value |\n|---|---|\n{rows}\n"


def _cell(value) -> str:
    """A setting as a cell: nothing in it can end the row."""
    return " ".join(str(value).replace("|", "\\|").split())
