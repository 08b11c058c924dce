# SPDX-License-Identifier: Apache-2.0
"""Published figures, and a report beside them as Markdown."""

from .report import EvalReport

_AVERAGES = ("video_mean", "all_frames")
_LISTED = 10  # of the clips that cannot be read; all are in the JSON


def comparison(report: EvalReport) -> tuple[list[str], list[list[str]]]:
    """
    Returns header and rows of a table of the published systems and, in two rows, the report: by the mean over videos
    and over all frames. Figures in percent.
    """
    single = "accuracy_all_frames" in report.metrics
    columns = ["accuracy", "macro_f1"] if single else [_multi_label_column(report)]
    header = ["model", *(column.replace("_", " ") for column in columns)]
    rows = [[name, *(f"{value:.2f}" for value in values)] for name, values in report.published.items()]
    name = report.model.get("name") or "this model"
    for way in ("video_mean", "all_frames"):
        values = [report.metrics[f"{column}_{way}"] for column in columns]
        rows.append([f"{name}, {way.replace('_', ' ')}", *(_percent(value) for value in values)])
    return header, rows


def measure_table(report: EvalReport) -> tuple[list[str], list[list[str]]]:
    """
    Returns header and rows of a table of all that was measured, in percent: mean ± standard deviation over videos, and
    over all frames, each with its 95 % interval.
    """
    ways = ("_video_mean", "_all_frames")
    names = dict.fromkeys(name.removesuffix(way) for name in report.metrics for way in ways if name.endswith(way))
    rows = []
    for name in names:
        spread = report.metrics.get(f"{name}_video_std", report.metrics.get(f"{name}_per_video_std"))
        cells = []
        for way in ways:
            value, interval = report.metrics.get(name + way), report.intervals.get(name + way)
            text = _percent(value)
            if way == "_video_mean" and value is not None and spread is not None:
                text += f" ± {100 * spread:.1f}"
            cells.append(text + _interval(interval))
        rows.append([name.replace("_", " "), *cells])
    return ["measure", "video mean ± std", "all frames"], rows


def decoded_table(report: EvalReport) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of a table of what decoding over time gives, in percent, with 95 % intervals."""
    rows = []
    for way in report.decoded:
        columns = [f"{column}_{average}" for column in ("accuracy", "macro_f1") for average in _AVERAGES]
        cells = [_with_interval(way["metrics"].get(name), way["intervals"].get(name)) for name in columns]
        rows.append([way["name"], *cells, way["how"]])
    header = [
        f"{column}, {average}" for column in ("accuracy", "macro F1") for average in ("video mean", "all frames")
    ]
    return ["decoding", *header, "how"], rows


def protocol_rows(report: EvalReport) -> list[list[str]]:
    """Returns the choices that figures depend on, for a terminal: what each is, and what it was."""
    return [[name.replace("_", " "), _number(value)] for name, value in report.protocol.items()]


def report_markdown(report: EvalReport) -> str:
    """Returns a report as Markdown for a model card: the figures beside the published ones, classes, and protocol."""
    parts = [f"### {report.title or report.benchmark}", ""]
    if any(name.endswith("_all_frames") for name in report.metrics):
        parts += [*markdown_table(*comparison(report)), ""]
        if report.published_note:
            parts += [report.published_note, ""]
    parts += markdown_table(
        ["measure", "value", "95 % interval"],
        [
            [name, _number(value), " to ".join(map(_number, report.intervals.get(name, [])))]
            for name, value in report.metrics.items()
        ],
    )
    if report.decoded:
        parts += ["", "Decoded over time, apart from the frame-wise figures above:", ""]
        parts += markdown_table(*decoded_table(report))
    if report.per_video:
        names = list(report.per_video[0])
        header = [name.replace("_", " ") for name in names]
        parts += [
            "",
            *markdown_table(header, [[_number(row.get(name)) for name in names] for row in report.per_video]),
        ]
    if report.per_class:
        names = list(report.per_class[0])
        header = [name.replace("_", " ") for name in names]
        parts += [
            "",
            *markdown_table(header, [[_number(row.get(name)) for name in names] for row in report.per_class]),
        ]
    if report.unreadable:
        shown, number = report.unreadable[:_LISTED], len(report.unreadable)
        parts += ["", f"{number} clips cannot be read and are left out; the first {len(shown)}:", ""]
        parts += markdown_table(list(shown[0]), [[_number(value) for value in clip.values()] for clip in shown])
    protocol = {f"protocol: {name}": value for name, value in report.protocol.items()}
    protocol |= {f"model: {name}": value for name, value in report.model.items()}
    protocol |= {"data fingerprint": report.data_fingerprint, "seconds": report.seconds}
    protocol |= {f"version of {name}": value for name, value in report.versions.items()}
    parts += [
        "",
        *markdown_table(["choice", "value"], [[name, _number(value)] for name, value in protocol.items()]),
        "",
    ]
    return "\n".join(parts)


def _multi_label_column(report: EvalReport) -> str:
    prefix = "triplet_" if "triplet_mean_average_precision_all_frames" in report.metrics else ""
    return f"{prefix}mean_average_precision"


def markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Returns the lines of a table in Markdown."""
    cells = [[" ".join(str(cell).replace("|", "\\|").split()) for cell in row] for row in [header, *rows]]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], f"|{'---|' * len(header)}", *lines[1:]]


def _with_interval(value: float | None, interval: list[float] | None) -> str:
    return _percent(value) + _interval(interval)


def _interval(ends: list[float] | None) -> str:
    return f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else ""


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _number(value: object) -> str:
    return "–" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
