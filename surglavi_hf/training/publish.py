# SPDX-License-Identifier: Apache-2.0
"""The folder `model/`: what others load."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import unfinished_path
from ..hub import render_model_card
from .resume import SETTINGS_NAME

MAX_LINES = 2000  # half a megabyte; it is pushed again at every checkpoint
_PRIVATE = ("data_dir", "video_dir", "output_dir", "resume", "dry_run")  # of this machine and this start


def write_model(model, processor, settings: Mapping[str, Any], metrics: Path, folder: Path) -> None:
    """
    Writes the model with its processor, code, settings, metrics and card. Each file is written beside and renamed, the
    weights last but for the card, so that `folder` can be loaded at any time.

    Args:
        model: A SurgCLIPModel.
        processor: A SurgCLIPProcessor.
        settings: Of the run; those that name places on this machine are left out.
        metrics: The run's metrics.jsonl. Of a long one `MAX_LINES` lines are published, and as many of those with
            figures of validation, spread over the run; the last is always there.
        folder: Made where it is absent.
    """
    beside = unfinished_path(folder)
    shutil.rmtree(beside, ignore_errors=True)
    model.save_pretrained(beside)
    processor.save_pretrained(beside)
    public = {name: _public(value) for name, value in settings.items() if name not in _PRIVATE}
    (beside / SETTINGS_NAME).write_text(json.dumps(public, indent=2) + "\n")
    (beside / metrics.name).write_text("".join(_spread(metrics)), encoding="utf-8")
    card = render_model_card(beside, settings.get("hub_model_id") or folder.name)
    (beside / "README.md").write_text(str(card), encoding="utf-8")
    if not folder.exists():
        beside.rename(folder)
        return
    last = ("model.safetensors", "README.md")
    files = [path for path in beside.iterdir() if path.name not in last] + [beside / name for name in last]
    for path in files:
        path.replace(folder / path.name)
    shutil.rmtree(beside)


def _spread(metrics: Path) -> list[str]:
    lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True)
    if len(lines) <= MAX_LINES:
        return lines
    validated = [number for number, line in enumerate(lines) if '"validation/' in line]
    kept = {len(lines) - 1}
    for numbers in (range(len(lines)), validated):
        count = min(MAX_LINES, len(numbers))
        kept |= {numbers[place * len(numbers) // count] for place in range(count)}
        kept |= set(numbers[-1:])
    return [lines[number] for number in sorted(kept)]


def _public(value: Any) -> Any:
    """A setting as strangers may read it: of a folder of this machine the name alone."""
    is_path = isinstance(value, str) and (value.startswith(("/", "~", ".", "\\")) or Path(value).exists())
    return Path(value).name if is_path else value
