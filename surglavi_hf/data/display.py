# SPDX-License-Identifier: Apache-2.0
"""Checks and trees as people look at them in a terminal. What a database holds is shown without control characters."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ..files import printable
from .check import DatabaseCheck
from .database import Level
from .tree import CaptionNode

_STYLES = {Level.PHASE: "bold magenta", Level.STEP: "cyan", Level.TASK: "green"}
_LONGEST_VALUE = 60


def show_check(check: DatabaseCheck) -> RenderableType:
    """Returns a table of what was left out, by reason with examples, and the counts."""
    parts: list[RenderableType] = []
    if check.left_out:
        table = Table("reason", "rows", "examples", title="captions left out", title_justify="left")
        table.columns[1].justify = "right"
        for reason, count in check.left_out.items():
            examples = [", ".join(f"{name}={_value(row[name])}" for name in row) for row in check.examples[reason]]
            table.add_row(Text(reason), f"{count:,}", Text("\n".join(examples)))
        parts.append(table)
    parts += [Text(f"warning: {count:,} {text}", "yellow") for text, count in check.warnings.items()]
    counts = f"{check.captions:,} captions, {check.loaded:,} loaded, {sum(check.left_out.values()):,} left out"
    parts.append(Text(f"{printable(str(check.database))}: {counts}"))
    return Group(*parts)


def show_tree(roots: list[CaptionNode]) -> RenderableType:
    """Returns the captions of one video with their times."""
    video = roots[0].row
    about = [video[name] for name in ("title", "procedure_type", "youtube_id") if video[name]]
    tree = Tree(Text(printable(" · ".join([video["video_name"], *about])), "bold"))
    pending = [(tree, node) for node in reversed(roots)]
    while pending:
        branch, node = pending.pop()
        level = Level(node.row["level"] + 1)
        label = Text(f"{_clock(node.row['start_time'])}–{_clock(node.row['end_time'])} ", "dim")
        label.append(f"{level.name.lower()} ", _STYLES[level])
        label.append(printable(node.row["caption"]))
        child = branch.add(label)
        pending += [(child, grandchild) for grandchild in reversed(node.children)]
    return tree


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _value(value: Any) -> str:
    shown = ascii(value) if isinstance(value, bytes) else repr(value)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[: _LONGEST_VALUE - 1]}…"
