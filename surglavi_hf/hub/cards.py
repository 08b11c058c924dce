# SPDX-License-Identifier: Apache-2.0
"""Model cards, from the files of a model's folder alone."""

import json
import re
from math import prod
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from safetensors import safe_open

from ..data.corpus_info import info_of
from ..data.trained_on import RECORDED
from .card_text import Card, inline, table
from .model_results import Results, eval_results, read_lines, results_markdown, weight_files

# What conversion.json holds, and the forms of what stands in metadata and addresses.
_ANY, _REPOSITORY = ("", ""), (r"[\w.-]+/[\w.-]+", "NAME/REPOSITORY")
_COMMON = dict.fromkeys(("source", "sha256", "parameters"), _ANY)
_RELEASED = {"model": _REPOSITORY, **_COMMON, **dict.fromkeys(("checked", "num_frames", "image_size"), _ANY)}
_COMPARATOR = {
    "repository": _REPOSITORY,
    "paper": (r"\d{4}\.\d{4,5}", "an arXiv number"),
    "licence": (r"[a-z0-9.-]+", "a licence as the Hub has it"),
    **_COMMON,
    **dict.fromkeys(("family", "licence_words", "input", "output"), _ANY),
}
COMPUTED = ("base_model", "license", "model-index")
TRAINING_NAME, METRICS_NAME, CONVERSION_NAME = "training.json", "metrics.jsonl", "conversion.json"


def render_model_card(folder: str | Path, repo_id: str | None = None) -> Card:
    """
    Returns the card of a model: of a trained one (`training.json`, `metrics.jsonl`) what it is, the settings it was
    trained with and how far it came; of a converted one (`conversion.json`) where it is from and its licence. Of both
    what was measured, as tables and as `model-index`.

    Args:
        folder: As training or `surglavi convert` wrote it, with reports of `surglavi evaluate`, `probe` and
            `retrieval` in its folder `evaluation`.
        repo_id: Where it is pushed to, for the snippet.

    Raises:
        FileNotFoundError: the folder lacks `config.json` or `model.safetensors`, or says nowhere where it is from.
        ValueError: a report is of other weights, or a file cannot be read.
    """
    folder = Path(folder)
    is_trained = (folder / TRAINING_NAME).is_file()
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} has no config.json; name the folder of a model")
    if not is_trained and not (folder / CONVERSION_NAME).is_file():
        raise FileNotFoundError(
            f"{folder} has neither {TRAINING_NAME}, which training writes, nor surglavi convert's {CONVERSION_NAME}, "
            "so a card could not say where the model is from"
        )
    template, values = ("trained.md", _trained(folder)) if is_trained else _converted(folder)
    results = Results.read(folder, METRICS_NAME)
    values |= {"repo_id": repo_id or folder.name, "results": results_markdown(results)}
    card = Card.render("surglavi_hf.model_card", template, values)
    if own := values.get("corpus"):  # what is said of SurgLaVi in the metadata is of another corpus
        card.data |= {"license": own.license or "unknown"}
        card.data["tags"] = [tag for tag in card.data["tags"] if not tag.startswith("arxiv:")]
        card.data.pop("datasets", None)
    data = ModelCardData(**card.data)
    if base_models := values.get("base_models"):
        data.base_model = base_models
    if found := eval_results(results):
        data.model_name, data.eval_results = values["repo_id"].rpartition("/")[2], found
    return Card(data.to_dict(), card.text)


def _trained(folder: Path) -> dict[str, Any]:
    vision = read_json(folder / "config.json").get("vision_config")
    if not isinstance(vision, dict) or not {"num_frames", "image_size", "layout"} <= set(vision):
        raise ValueError(f"{folder / 'config.json'} is not a SurgCLIP's (vision_config); name the folder of one")
    settings = read_json(folder / TRAINING_NAME)
    lines = list(read_lines(folder / METRICS_NAME))
    last = next((line for line in reversed(lines) if isinstance(line.get("loss"), int | float)), {})
    origins = (settings.get(name) for name in ("model_name_or_path", "vision_encoder", "text_encoder"))
    return {
        "parameters": f"{_count_parameters(folder):,}",
        "num_frames": str(vision["num_frames"]),
        "image_size": str(vision["image_size"]),
        "layout": vision["layout"],
        "step": str(lines[-1].get("step", 0) if lines else 0),
        "progress": _progress(last),
        **_about_data(settings, folder),
        "settings": table([[k, str(v)] for k, v in settings.items() if k not in RECORDED]),
        "base_models": [name for name in origins if isinstance(name, str) and name.count("/") == 1],
    }


def _converted(folder: Path) -> tuple[str, dict[str, Any]]:
    """The name of a template, and what it is filled in with."""
    origin = read_json(folder / CONVERSION_NAME)
    template, forms = ("comparator.md", _COMPARATOR) if "family" in origin else ("released.md", _RELEASED)
    for name, (form, expected) in forms.items():
        if not isinstance(origin.get(name), str) or len(origin[name].splitlines()) > 1:
            raise ValueError(f"{folder / CONVERSION_NAME} has no {name} in one line; convert the checkpoint again")
        if form and not re.fullmatch(form, origin[name], re.ASCII):
            raise ValueError(f"{folder / CONVERSION_NAME} has {origin[name]!r} as {name}, expected {expected}")
    return template, {name: str(value).replace("<", "&lt;") for name, value in origin.items()}


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); write the folder again") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}, expected an object; write the folder again")
    return found


def _count_parameters(folder: Path) -> int:
    total = 0
    for name in weight_files(folder):
        with safe_open(folder / name, "pt") as file:
            total += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  no mapping
    return total


def _progress(last: dict) -> str:
    if not last:
        return "Untrained."
    return (
        f"Step {last['step']}, epoch {last['epoch']}, loss {last['loss']:.3f}, temperature {last['temperature']:.4f}."
    )


_SURGLAVI = {
    "trained_on": "SurgLaVi\n([arXiv 2509.10555](https://arxiv.org/abs/2509.10555))",
    "limits": "It was trained on public videos and on captions that machines made from what surgeons said: what is "
    "rare\nthere, or never spoken of, it does not know",
    "origin": "SurgLaVi's captions come from the narration of YouTube videos, which stay with their uploaders. Which "
    "videos had\ndisappeared before this training is not recorded.",
    "licence": "The weights follow the captions they were trained on, "
    "[CC BY-NC-SA 4.0](https://creativecommons.org/licenses/by-nc-sa/4.0/); the code\nbeside them is under the Apache "
    "License 2.0. The videos belong to their uploaders.",
}


def _about_data(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a card says of the data: of SurgLaVi, or of the corpus that training wrote down."""
    recorded = settings.get("corpus")
    if recorded is None:
        return {"data": _data(settings, "YouTube id"), "corpus": None, **_SURGLAVI}
    try:
        corpus = info_of(recorded)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / TRAINING_NAME}, corpus: {error}; train again") from error
    said = f"under the licence `{corpus.license}`" if corpus.license else "whose licence its publisher has not said"
    return {
        "data": _data(settings, "identity"),
        "corpus": corpus,
        "trained_on": f"*{inline(corpus.title)}*",
        "limits": "What is rare in the videos and captions it was trained on it does not know",
        "origin": inline(corpus.description),
        "licence": f"It was trained on captions {said}; the code beside the weights is under the Apache License 2.0.",
    }


def _data(settings: dict[str, Any], hashed: str) -> str:
    level = settings.get("level")
    which = "captions of all levels" if level in (None, "all") else f"captions of level `{level}`"
    held_out = sum(settings.get(f"{split}_fraction") or 0 for split in ("validation", "test"))
    rest = f" {held_out:.0%} of the videos were held out, chosen by a hash of their {hashed}." if held_out else ""
    return f"The training split of a database in SurgLaVi's format, {which}.{rest}"
