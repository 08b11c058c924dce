# SPDX-License-Identifier: Apache-2.0
"""Where benchmarks and readers of labels are found: here, and in packages that say they have some."""

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from .definition import Definition, read_definition
from .label_reader import LabelReader
from .published_figures import published_on

# Groups of entry points. Of the first each is a function that returns the path of a YAML file, of the second a class.
BENCHMARKS_GROUP, READERS_GROUP = "surglavi_hf.benchmarks", "surglavi_hf.label_readers"
_HERE = Path(__file__).parent


def benchmark_names() -> list[str]:
    """Returns the names of the benchmarks there are: those shipped, then those of other packages."""
    shipped = sorted(path.stem for path in _HERE.glob("*.yaml"))
    return [*shipped, *_entry_points(BENCHMARKS_GROUP, shipped)]


def find_benchmark(name: str | os.PathLike) -> Definition:
    """
    Returns a benchmark by its name, or by the path of its YAML file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is none of this name, or its file is wrong.
    """
    if isinstance(name, os.PathLike) or Path(name).suffix.lower() in (".yaml", ".yml"):
        return read_definition(name, label_reader)
    path = _HERE / f"{name}.yaml" if name.isidentifier() else _HERE / "-"
    if not path.is_file():
        others = _entry_points(BENCHMARKS_GROUP, [])
        if name not in others:
            known = ", ".join(benchmark_names())
            raise ValueError(f"benchmark {name!r}, expected a YAML file such as mine.yaml, or one of {known}")
        made = _load(others[name])
        try:
            path = Path(made())
        except Exception as error:
            raise ValueError(f"benchmark {name!r} {_of(others[name])} cannot be had ({error})") from error
    definition = read_definition(path, label_reader)
    if definition.name != name:
        raise ValueError(f"{path} is named {definition.name!r}, expected {name!r}")
    return replace(definition, published=published_on(name)) if path.parent == _HERE else definition


def reader_names() -> list[str]:
    """Returns the names of the readers there are."""
    own = sorted(path.stem for path in (_HERE / "readers").glob("*.py") if path.stem != "__init__")
    return [*own, *_entry_points(READERS_GROUP, own)]


def label_reader(name: str) -> type[LabelReader]:
    """
    Returns the reader of a name: the one class of `readers/NAME.py`, or another package's.

    Raises:
        ValueError: there is none, or it is no reader.
    """
    if name.isidentifier() and (_HERE / "readers" / f"{name}.py").is_file():
        module = import_module(f".readers.{name}", __package__)
        kinds = [value for value in vars(module).values() if _is_reader(value) and value.__module__ == module.__name__]
        return kinds[-1]
    others = _entry_points(READERS_GROUP, [])
    if name not in others:
        raise ValueError(f"{name!r}, expected one of {', '.join(reader_names())}")
    if not _is_reader(kind := _load(others[name])):
        raise ValueError(f"{name!r} {_of(others[name])} is no subclass of LabelReader")
    return kind


def _is_reader(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, LabelReader)


def _entry_points(group: str, taken: list[str]) -> Mapping[str, EntryPoint]:
    """Those of other packages, whose names none of ours has."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in taken:
            continue  # ours go first: a name must not mean another thing where some package is installed
        if (other := found.setdefault(point.name, point)).value != point.value:
            raise ValueError(f"{point.name!r} is {_of(other)} and {_of(point)}; uninstall one of them")
    return found


def _load(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:
        raise ValueError(f"{point.name!r} {_of(point)} cannot be imported ({error})") from error


def _of(point: EntryPoint) -> str:
    return f"of the package {point.dist.name if point.dist else '?'}"
