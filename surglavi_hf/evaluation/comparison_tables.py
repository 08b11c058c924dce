# SPDX-License-Identifier: Apache-2.0
"""A comparison of models as tables: for a terminal, Markdown, LaTeX and CSV. Figures are in percent."""

import csv
import io
from collections.abc import Iterable, Sequence

from .benchmarks.published_figures import PublishedFigure, PublishedSource
from .compare import AVERAGES, Comparison, Difference, Figure
from .published import markdown_table

Column = tuple[str, str, str, str, str]
Table = tuple[list[str], list[list[str]]]

_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "β": r"$\beta$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "“": "``",
    "”": "''",
    "→": r"$\rightarrow$",
}


def figure_table(comparison: Comparison, average: str, decoded: bool = False) -> Table:
    """
    Returns header and rows: a column for each benchmark, task and measure; a row for each model with its parameters,
    licence and figures with their 95 % intervals, then, with the number of their source, those that others published.

    Args:
        comparison: From [`compare`].
        average: "video_mean" or "all_frames".
        decoded: Of scores decoded over time instead of the frame-wise ones.
    """
    columns = comparison.columns(average, decoded)
    header = ["model", "parameters", "licence", *(column_name(comparison, column) for column in columns)]
    found = [comparison.of_column(column) for column in columns]
    rows = [
        [name, f"{model.parameters:,}", model.licence or "unknown", *(_cell(of.get(name)) for of in found)]
        for name, model in comparison.models.items()
    ]
    if decoded:
        return header, rows
    numbers = {source: place for place, source in enumerate(sources(comparison, average), start=1)}
    published: dict[tuple[str, int], dict[Column, float]] = {}
    for column in columns:
        for figure in published_in(comparison, column):
            published.setdefault((figure.system, numbers[figure.source]), {})[column] = figure.value
    for (system, number), values in sorted(published.items(), key=lambda item: item[0][1]):
        cells = [f"{values[column]:.2f}" if column in values else "–" for column in columns]
        rows.append([f"{system}, published [{number}]", "", "", *cells])
    return header, rows


def sources(comparison: Comparison, average: str) -> list[PublishedSource]:
    """Returns the sources of the published figures that a table has, in the order of their numbers."""
    columns = comparison.columns(average)
    return list(dict.fromkeys(f.source for column in columns for f in published_in(comparison, column)))


def published_in(comparison: Comparison, column: Column) -> list[PublishedFigure]:
    """Returns what others published of a column's benchmark, task and measure."""
    benchmark, task, _, decoding, measure = column
    return [
        figure
        for figure in comparison.published.get(benchmark, [])
        if not decoding and _task(figure) == task and figure.measure == split_measure(measure)[0]
    ]


def model_table(comparison: Comparison) -> Table:
    """Returns header and rows of what models are, how they were shown frames, and how long embedding took."""
    benchmarks = list(dict.fromkeys(name for model in comparison.models.values() for name in model.seconds))
    said = list(
        dict.fromkeys(name for model in comparison.models.values() for seen in model.seen.values() for name in seen)
    )
    header = ["model", "parameters", "licence", *(f"seconds, {name}" for name in benchmarks), "weights", *said]
    rows = []
    for name, model in comparison.models.items():
        seconds = [f"{model.seconds[item]:.1f}" if item in model.seconds else "–" for item in benchmarks]
        seen = [_same(str(values[item]) for values in model.seen.values() if item in values) for item in said]
        weights = str(model.about.get("weights_sha256"))
        rows.append([name, f"{model.parameters:,}", model.licence or "unknown", *seconds, weights, *seen])
    return [name.replace("_", " ") for name in header], rows


def difference_tables(comparison: Comparison, average: str) -> dict[str, Table]:
    """Returns for each column of the table a matrix of models: each row's figure minus each column's."""
    columns = comparison.columns(average)
    matrices: dict[str, Table] = {}
    every = list(comparison.differences())
    for column in columns:
        found = {(d.one.model, d.other.model): d for d in every if d.one.column == column}
        names = [name for name in comparison.of_column(column) if any(name in pair for pair in found)]
        if len(names) > 1:
            rows = [
                [one, *(_signed(found.get((one, other)), found.get((other, one))) for other in names)] for one in names
            ]
            matrices[column_name(comparison, column)] = (["minus", *names], rows)
    return matrices


def comparison_markdown(comparison: Comparison, average: str) -> str:
    """Returns the whole comparison but for seconds, which another run does not repeat."""
    parts = [
        "# Comparison of models",
        "",
        f"Percent, {_average(average)}, with 95 % intervals over videos where there are several.",
        "",
    ]
    parts += [*markdown_table(*figure_table(comparison, average)), ""]
    for number, source in enumerate(sources(comparison, average), start=1):
        parts += [f"[{number}] {source}. {source.protocol}.", ""]
    if sources(comparison, average):
        parts += ["Published figures are of their own protocols, figures of models of the one below.", ""]
    parts += [f"- {note}" for note in comparison.notes] + [""] * bool(comparison.notes)
    if several := prompt_table(comparison, average):
        parts += ["## Prompt sets", "", *markdown_table(*several), ""]
    if comparison.columns(average, decoded=True):
        parts += ["## Decoded over time, apart from the frame-wise figures", ""]
        parts += [*markdown_table(*figure_table(comparison, average, decoded=True)), ""]
    if differences := difference_tables(comparison, average):
        parts += ["## Differences: the model of the row minus that of the column", ""]
        parts += ["On the same draws of videos; an interval without 0 is a difference.", ""]
        for name, table in differences.items():
            parts += [f"{name}:", "", *markdown_table(*table), ""]
    parts += ["## Protocol", ""]
    for name, protocol in comparison.protocols.items():
        rows = [[key.replace("_", " "), str(value)] for key, value in protocol.items()]
        parts += [f"### {comparison.titles.get(name, name)}", "", *markdown_table(["choice", "value"], rows), ""]
    parts += ["## Models", "", "Seconds are in models.csv.", ""]
    header, rows = model_table(comparison)
    kept = [place for place, name in enumerate(header) if not name.startswith("seconds")]
    turned = [[header[place], *(row[place] for row in rows)] for place in kept[1:]]
    parts += [*markdown_table(["", *(row[0] for row in rows)], turned), ""]
    return "\n".join(parts)


def prompt_table(comparison: Comparison, average: str) -> Table | None:
    """Returns rows of figures with a column for each prompt set, and mean ± spread; None where there is one set."""
    means = [
        figure
        for figure in comparison.figures
        if figure.prompts.startswith("mean of") and figure.measure.endswith(average) and not figure.decoding
    ]
    if not means:
        return None
    sets = list(dict.fromkeys(f.prompts for f in comparison.figures if f.task == "zero-shot" and f not in means))
    sets = [name for name in sets if not name.startswith("mean of")]
    rows = []
    for mean in means:
        same = {
            figure.prompts: figure.value
            for figure in comparison.figures
            if (figure.model, figure.column[:2], figure.column[3:]) == (mean.model, mean.column[:2], mean.column[3:])
        }
        values = [same[name] for name in sets if same.get(name) is not None]
        spread = f"{_percent(mean.value)} ± {_percent(mean.spread)}"
        span = f"{_percent(min(values))} to {_percent(max(values))}" if values else "–"
        what = f"{comparison.titles.get(mean.benchmark, mean.benchmark)}, {measure_name(mean.measure)}"
        rows.append([what, mean.model, *(_percent(same.get(name)) for name in sets), spread, span])
    return ["figure", "model", *sets, "mean ± standard deviation", "least to most"], rows


def comparison_latex(comparison: Comparison, average: str) -> str:
    """Returns the table for LaTeX, with the package booktabs."""
    header, rows = figure_table(comparison, average)
    lines = [
        "% Needs \\usepackage{booktabs}. Percent, " + _average(average) + "; 95 % intervals over videos.",
        "% Published figures are of their own protocols:",
        *(f"% [{number}] {source}" for number, source in enumerate(sources(comparison, average), start=1)),
        f"\\begin{{tabular}}{{lrl{'l' * (len(header) - 3)}}}",
        "\\toprule",
        _latex_row(header),
        "\\midrule",
    ]
    own = len(comparison.models)
    lines += [_latex_row(row) for row in rows[:own]]
    if rows[own:]:
        lines += ["\\midrule", *(_latex_row(row) for row in rows[own:])]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def figures_csv(comparison: Comparison) -> str:
    """Returns every figure, measured and published, a row each; percent."""
    header = ["benchmark", "task", "prompts", "decoding", "measure", "average", "model", "published", "value", "low"]
    header += ["high", "spread", "parameters", "licence", "paper", "table", "protocol", "date"]
    rows = []
    for figure in comparison.figures:
        model, (measure, average) = comparison.models[figure.model], split_measure(figure.measure)
        low, high = figure.interval or (None, None)
        numbers = [_exact(value) for value in (figure.value, low, high, figure.spread)]
        where = [figure.benchmark, figure.task, figure.prompts, figure.decoding, measure, average, figure.model]
        rows.append([*where, "no", *numbers, str(model.parameters), model.licence or "", "", "", "", ""])
    for benchmark, published in comparison.published.items():
        for figure in published:
            source = figure.source
            where = [benchmark, _task(figure), "", "", figure.measure, "", figure.system, "yes", f"{figure.value}"]
            rows.append([*where, *[""] * 5, source.paper, source.table, source.protocol, source.date])
    return _csv(header, rows)


def differences_csv(comparison: Comparison) -> str:
    """Returns the differences of all pairs of models, a row each; percent."""
    header = ["benchmark", "task", "prompts", "decoding", "measure", "average", "model", "minus", "difference"]
    rows = []
    for difference in comparison.differences():
        one, (measure, average) = difference.one, split_measure(difference.one.measure)
        where = [one.benchmark, one.task, one.prompts, one.decoding, measure, average, one.model]
        ends = [_exact(end) for end in difference.interval or (None, None)]
        rows.append([*where, difference.other.model, _exact(difference.value), *ends])
    return _csv([*header, "low", "high"], rows)


def models_csv(comparison: Comparison) -> str:
    """Returns what models are and how long they took, a row each."""
    return _csv(*model_table(comparison))


def column_name(comparison: Comparison, column: Column) -> str:
    """Returns what a column is headed with."""
    benchmark, task, prompts, decoding, measure = column
    several = f" (prompts: {prompts})" if prompts.startswith("mean of") else ""
    what = [comparison.titles.get(benchmark, benchmark), task + several, decoding, measure_name(measure)]
    return ", ".join(part for part in what if part)


def measure_name(measure: str) -> str:
    name = split_measure(measure)[0]
    names = {"macro_f1": "macro F1", "mean_average_precision": "mAP", "triplet_mean_average_precision": "triplet mAP"}
    return names.get(
        name, name.replace("_", " ").replace("text to video", "text → video").replace("video to text", "video → text")
    )


def split_measure(measure: str) -> tuple[str, str]:
    """Returns a measure and the average that its name ends with, "" where it has none."""
    for average in AVERAGES:
        if measure.endswith(f"_{average}"):
            return measure.removesuffix(f"_{average}"), average
    return measure, ""


def _task(figure: PublishedFigure) -> str:
    return "zero-shot" if figure.percent is None else f"linear probe, {figure.percent} %"


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return "–"
    text = _percent(figure.value)
    if figure.interval:
        text += f" [{100 * figure.interval[0]:.1f}, {100 * figure.interval[1]:.1f}]"
    return text


def _signed(difference: Difference | None, turned: Difference | None) -> str:
    if difference is None and turned is None:
        return ""
    found = difference or turned
    sign = 1 if difference else -1
    value, *ends = (round(sign * 100 * number, 1) + 0.0 for number in (found.value, *(found.interval or ())))
    text = f"{value:+.1f}"
    if ends:
        text += f" [{min(ends):.1f}, {max(ends):.1f}]"
    return text.replace("-", "−")


def _average(average: str) -> str:
    return "means over videos" if average == "video_mean" else "over all frames"


def _same(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values)) or "–"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _exact(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.4f}"


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join("".join(_LATEX.get(sign, sign) for sign in cell) for cell in cells) + r" \\"
