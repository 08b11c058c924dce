# SPDX-License-Identifier: Apache-2.0
"""Class names, prompts and splits of a benchmark, from the data file beside its reader."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

Kind = Literal["single_label", "multi_label", "triplet"]


@dataclass(frozen=True)
class LabelSet:
    """
    Args:
        kind: "single_label": one class a frame; "multi_label": any number; "triplet": any number of action triplets.
        classes: Names, by class index.
        source: Where names and order come from.
        prompts: For each prompt set one text a class, by class index.
        prompt_sources: Where each prompt set comes from.
    """

    kind: Kind
    classes: tuple[str, ...]
    source: str
    prompts: Mapping[str, tuple[str, ...]]
    prompt_sources: Mapping[str, str]


@dataclass(frozen=True)
class Splits:
    """
    Args:
        default: The variant taken where none is named.
        note: What is known of the one behind the published tables.
        variants: For each variant the video names of each split.
    """

    default: str
    note: str
    variants: Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Definition:
    """
    Args:
        name: Of the data file.
        description: Title and paper.
        labels: Label sets by name.
        splits: Which videos are tested on.
    """

    name: str
    description: str
    labels: Mapping[str, LabelSet]
    splits: Splits


def read_definition(name: str) -> Definition:
    """Returns what `<name>.yaml` in this folder says."""
    content = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))
    labels = {}
    for label, value in content["labels"].items():
        sets = value.get("prompts", {})
        labels[label] = LabelSet(
            kind=value["kind"],
            classes=tuple(value["classes"]),
            source=value["source"],
            prompts={key: tuple(prompts["texts"]) for key, prompts in sets.items()},
            prompt_sources={key: prompts["source"] for key, prompts in sets.items()},
        )
    splits = content["splits"]
    variants = {
        str(variant): {split: tuple(_expand(names)) for split, names in named.items()}
        for variant, named in splits["variants"].items()
    }
    return Definition(name, content["description"], labels, Splits(splits["default"], splits["note"], variants))


def choose_prompts(
    labels: LabelSet, prompts: str | os.PathLike | Mapping[str, str | list[str]] | None
) -> tuple[tuple[tuple[str, ...], ...], str]:
    """
    Returns for each class its prompts, and a line that says where they come from.

    Args:
        labels: Whose classes.
        prompts: Name of a prompt set, "names" (the class names as words), a YAML or JSON file of class names with a
            text or a list of texts each, or a mapping of that form; None takes the first prompt set, or the names.

    Raises:
        FileNotFoundError: it names neither a prompt set nor a file.
        ValueError: a class has no prompt, or a prompt no class.
    """
    if prompts is None:
        prompts = next(iter(labels.prompts), "names")
    if prompts == "names":
        return tuple((readable(name),) for name in labels.classes), "names: the class names as words"
    if isinstance(prompts, str) and prompts in labels.prompts:
        return tuple((text,) for text in labels.prompts[prompts]), f"{prompts}: {labels.prompt_sources[prompts]}"
    if not isinstance(prompts, Mapping):
        path = Path(prompts)
        if not path.is_file():
            known = ", ".join([*labels.prompts, "names"])
            raise FileNotFoundError(f"prompts={str(prompts)!r} is neither a file nor one of {known}")
        return _check_prompts(labels, _read_mapping(path), str(path)), f"file {path.name}"
    return _check_prompts(labels, prompts, "prompts"), "given by the caller"


def readable(name: str) -> str:
    """
    Returns a class name as words: `s12_omental_lifting` as "omental lifting", `CalotTriangleDissection` as
    "calot triangle dissection", `grasper,dissect,cystic_plate` as "grasper dissect cystic plate".
    """
    words = re.sub(r"^s\d+_", "", name)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words)
    return " ".join(re.split(r"[\s_,]+", words)).lower()


def _read_mapping(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())}); expected YAML or JSON") from error


def _check_prompts(labels: LabelSet, given: object, where: str) -> tuple[tuple[str, ...], ...]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: found a {type(given).__name__}, expected class names with a text or texts each")
    if unknown := [name for name in given if name not in labels.classes]:
        raise ValueError(f"{where}: {unknown[0]!r} is no class, expected {', '.join(labels.classes)}")
    texts = []
    for name in labels.classes:
        value = given.get(name)
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, (list, tuple)) or not value or not all(isinstance(t, str) and t for t in value):
            raise ValueError(f"{where}: class {name!r} has {given.get(name)!r}, expected a text or a list of texts")
        texts.append(tuple(value))
    return tuple(texts)


def _expand(names: list[str]) -> list[str]:
    """`video{01..03}` stands for video01, video02, video03."""
    expanded = []
    for name in names:
        if match := re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}", name):
            width = len(match[2])
            expanded += [f"{match[1]}{number:0{width}d}" for number in range(int(match[2]), int(match[3]) + 1)]
        else:
            expanded.append(name)
    return expanded
