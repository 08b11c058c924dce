# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from rich.console import Console

from surglavi_hf.data.check import DatabaseCheck
from surglavi_hf.data.display import show_check, show_tree
from surglavi_hf.data.tree import CaptionNode


def printed(renderable, width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


def node(level, start, end, caption, *children):
    about = {"video_name": "v1", "title": "T", "procedure_type": None, "youtube_id": "y"}
    row = {"level": level, "start_time": start, "end_time": end, "caption": caption}
    return CaptionNode(about | row, list(children))


def test_a_tree():
    tasks = node(0, 2.0, 4.9, "first\x1b[31m task [bold]"), node(0, 10.0, 14.0, "second\ntask")
    roots = [node(2, 0.0, 90.0, "the phase", node(1, 0.0, 45.0, "the step", *tasks)), node(0, 3700.0, 3702.0, "late")]
    assert printed(show_tree(roots), 80) == [
        "v1 · T · y",
        "├── 0:00–1:30 phase the phase",
        "│   └── 0:00–0:45 step the step",
        "│       ├── 0:02–0:04 task first�[31m task [bold]",
        "│       └── 0:10–0:14 task second�task",
        "└── 1:01:40–1:01:42 task late",
    ]


@pytest.mark.parametrize("width", [60, 120])
def test_a_check_shows_what_is_stored_without_control_characters(width):
    examples = {"time missing": [{"caption_id": 1, "start_time": "[red]soon\x1b[31m", "caption": b"\xff" * 500}]}
    check = DatabaseCheck(Path("x.db"), 1200, 1199, {"time missing": 1}, examples, {"captions end late": 7})
    lines = printed(show_check(check), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width and "\x1b" not in text
    assert "[red]soon\\x1b" in text.replace("\n", "") or width == 60
    assert lines[-2:] == ["warning: 7 captions end late", "x.db: 1,200 captions, 1,199 loaded, 1 left out"]


def test_a_check_without_findings():
    check = DatabaseCheck(Path("x.db"), 5, 5, {}, {}, {})
    assert printed(show_check(check), 80) == ["x.db: 5 captions, 5 loaded, 0 left out"]
