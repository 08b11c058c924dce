# SPDX-License-Identifier: Apache-2.0
"""Figures that others published, each with where it stands, by what protocol, and of when it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ...named_values import read_named_values
from .label_reader import Kind

_FILE = Path(__file__).parents[1] / "published_figures.yaml"


@dataclass(frozen=True)
class PublishedSource:
    """
    Args:
        paper: Which, or a note of the user's.
        table: Where in it.
        protocol: What is known, and what not, of how it was measured.
        date: Of the figures.
    """

    paper: str
    table: str = ""
    protocol: str = ""
    date: str = ""

    def __str__(self) -> str:
        return "; ".join(part for part in (self.paper, self.table, self.date) if part)


@dataclass(frozen=True)
class PublishedFigure:
    """
    Args:
        system: Which was measured.
        measure: Such as "macro_f1"; whether over videos or frames its source may say.
        value: In percent.
        source: Where it stands.
        percent: Of linear probing: of the training procedures.
    """

    system: str
    measure: str
    value: float
    source: PublishedSource
    percent: int | None = None


@dataclass(frozen=True)
class Published:
    """
    Figures that others published on a benchmark.

    Args:
        zero_shot_figures: Of zero-shot recognition.
        linear_probe_figures: Of linear probing, macro F1.
    """

    zero_shot_figures: Sequence[PublishedFigure] = field(default_factory=tuple)
    linear_probe_figures: Sequence[PublishedFigure] = field(default_factory=tuple)

    @property
    def zero_shot(self) -> dict[str, list[float]]:
        """Of each system of the first source its figures, in the order of its measures."""
        rows: dict[str, list[float]] = {}
        for figure in _of_first_source(self.zero_shot_figures):
            rows.setdefault(figure.system, []).append(figure.value)
        return rows

    @property
    def linear_probe(self) -> dict[str, dict[int, float]]:
        """Of each system of the first source its figures, by percent of the training procedures."""
        rows: dict[str, dict[int, float]] = {}
        for figure in _of_first_source(self.linear_probe_figures):
            rows.setdefault(figure.system, {})[figure.percent or 0] = figure.value
        return rows

    @property
    def note(self) -> str:
        """Where the figures of the first source are from, and what is known of them."""
        figures = [*self.zero_shot_figures, *self.linear_probe_figures]
        return ". ".join(filter(None, (str(figures[0].source), figures[0].source.protocol))) if figures else ""


def measures_of(kind: Kind) -> tuple[str, ...]:
    """Returns the measures of zero-shot recognition in the order of the published tables."""
    if kind == "single_label":
        return ("accuracy", "macro_f1")
    return ("triplet_mean_average_precision",) if kind == "triplet" else ("mean_average_precision",)


def published_on(benchmark: str) -> Published:
    """Returns what is known to be published on a benchmark that is shipped here."""
    sources, content = _read()
    zero_shot, linear_probe = [], []
    for block in content["zero_shot"]:
        if block["benchmark"] == benchmark:
            zero_shot += of_zero_shot(sources[block["source"]], block["measures"], block["systems"])
    for block in content["linear_probe"]:
        if block["benchmark"] == benchmark:
            linear_probe += of_linear_probe(sources[block["source"]], block["systems"])
    return Published(tuple(zero_shot), tuple(linear_probe))


def of_zero_shot(
    source: PublishedSource, measures: Sequence[str], systems: Mapping[str, Sequence[float]]
) -> tuple[PublishedFigure, ...]:
    """
    Returns the figures of a table's rows, one or two each.

    Raises:
        AttributeError, TypeError, ValueError: a row is none, or has too few or too many.
    """
    figures = []
    for system, row in systems.items():
        if len(row) != len(measures):
            raise ValueError(f"{system} has {len(row)} figures, expected {len(measures)}")
        pairs = zip(measures, row, strict=True)
        figures += [PublishedFigure(str(system), measure, float(value), source) for measure, value in pairs]
    return tuple(figures)


def of_linear_probe(
    source: PublishedSource, systems: Mapping[str, Mapping[int, float]]
) -> tuple[PublishedFigure, ...]:
    """Returns the figures of rows of macro F1 by percent. Raises as [`of_zero_shot`]."""
    return tuple(
        PublishedFigure(str(system), "macro_f1", float(value), source, int(percent))
        for system, row in systems.items()
        for percent, value in row.items()
    )


def _of_first_source(figures: Sequence[PublishedFigure]) -> list[PublishedFigure]:
    return [figure for figure in figures if figure.source == figures[0].source]


@cache
def _read() -> tuple[dict[str, PublishedSource], Mapping[str, Any]]:
    content = read_named_values(_FILE)
    return {name: PublishedSource(**source) for name, source in content["sources"].items()}, content


__all__ = ["Published", "PublishedFigure", "PublishedSource", "published_on"]
