# SPDX-License-Identifier: Apache-2.0
"""Whether this machine has what downloading and decoding videos need, and what to do where it has not."""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import yt_dlp
from huggingface_hub import get_token
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from yt_dlp.globals import supported_js_runtimes

from .data import estimate_download, read_database_videos
from .media import DownloadOptions, VideoLibrary, backend_problems, installed_backends, plan_downloads

OLD_YT_DLP = timedelta(days=60)  # YouTube changes, and yt-dlp after it, about every month
LITTLE_DISK = 20e9  # a hundred videos or so


@dataclass(frozen=True)
class Finding:
    """
    One thing looked at.

    Args:
        what: Its name.
        found: What is here.
        remedy: What to do about it; `None` where it is well.
        needed: Whether the remedy is needed, or would only help.
    """

    what: str
    found: str
    remedy: str | None = None
    needed: bool = False


def examine(data_dir: str | os.PathLike) -> list[Finding]:
    """Returns what this machine has. `data_dir` is the folder whose disk the videos go to; it need not be there."""
    return [examine_javascript(), _yt_dlp(), _decoders(), _ffmpeg(), _disk(Path(data_dir)), _hub()]


def show_findings(findings: list[Finding]) -> RenderableType:
    """Returns a table of what was found, with the remedies."""
    table = Table("", "what", "found", "remedy")
    for finding in findings:
        mark = ("✓", "green") if not finding.remedy else ("✗", "red") if finding.needed else ("!", "yellow")
        table.add_row(Text(*mark), finding.what, Text(finding.found), Text(finding.remedy or ""))
    return table


def examine_javascript(runtimes: Mapping[str, Mapping] | None = None) -> Finding:
    """
    Returns whether yt-dlp has what it needs to read YouTube's pages.

    Args:
        runtimes: Those to look for, as yt-dlp's option `js_runtimes`: by name, with the `path` of the program or
            `None`. By default all that it knows.
    """
    what, remedy = "JavaScript runtime", "install Deno 2.3 or Node.js 22, or newer; YouTube needs one"
    known = supported_js_runtimes.value
    wanted = [(runtime, None) for runtime in known.values()]
    if runtimes is not None:
        wanted = [(known[name], config.get("path")) for name, config in runtimes.items() if name in known]
    infos = [info for runtime, path in wanted if (info := runtime(path=path).info)]
    if find_spec("yt_dlp_ejs") is None:
        return Finding(what, "yt-dlp-ejs is not installed", "pip install 'yt-dlp[default]'", needed=True)
    found = ", ".join(f"{info.name} {info.version}" for info in infos)
    if any(info.supported for info in infos):
        return Finding(what, found)
    return Finding(what, f"{found}, too old" if found else "none", remedy, needed=True)


def _yt_dlp() -> Finding:
    version = yt_dlp.version.__version__
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    age = date.today() - date(*map(int, numbers.groups()))
    found = f"{version}, {age.days} days old"
    return Finding("yt-dlp", found, "pip install --upgrade 'yt-dlp[default]'" if age > OLD_YT_DLP else None)


def _decoders() -> Finding:
    backends, problems = installed_backends(), backend_problems()
    return Finding(
        "decoders", ", ".join(backends) or "none", "; ".join(problems.values()) or None, needed=not backends
    )


def _ffmpeg() -> Finding:
    path = shutil.which("ffmpeg")
    return Finding("FFmpeg", path or "none", None if path else "install FFmpeg, if you want sound (--audio)")


def _disk(folder: Path) -> Finding:
    folder = Path(os.path.expanduser(folder)).absolute()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = VideoLibrary(folder).free_space()
    found = f"{free / 1e9:,.0f} GB free for {folder}"
    if not os.access(there, os.W_OK):
        return Finding("disk", f"{there} cannot be written to", "name another --data-dir", needed=True)
    if needed := _still_to_come(folder):
        found += f", about {needed / 1e9:,.1f} GB to download"
        remedy = "make room, name another --data-dir, or download a part of it (--max-height, --limit, --ids)"
        return Finding("disk", found, remedy if needed > free else None, needed=needed > free)
    remedy = "make room; surglavi download --estimate says how much is needed" if free < LITTLE_DISK else None
    return Finding("disk", found, remedy)


def _still_to_come(folder: Path) -> float:
    """Returns how many bytes the videos that are missing will take; 0 where there is no database to tell."""
    try:
        videos = read_database_videos(folder)
    except (OSError, ValueError):
        return 0.0
    return estimate_download(videos, plan_downloads(videos.library, videos.sources), DownloadOptions().max_height).size


def _hub() -> Finding:
    if get_token():
        return Finding("Hugging Face Hub", "logged in")
    return Finding("Hugging Face Hub", "not logged in", "hf auth login, to push or to read what is private")
