# SPDX-License-Identifier: Apache-2.0
"""Whether this machine has what videos, models and evaluations need, and what to do where it has not."""

import os
import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from importlib.metadata import PackageNotFoundError, metadata, version
from importlib.util import find_spec
from pathlib import Path

import psutil
import yt_dlp
from huggingface_hub import get_token
from packaging.requirements import Requirement
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
    folder = Path(os.path.expanduser(data_dir)).absolute()
    still_to_come = _still_to_come(folder)
    javascript = examine_javascript()
    if not still_to_come:  # nothing is to be downloaded, which alone wants one
        javascript = replace(javascript, needed=False)
    return [
        *(_python(), _torch(), _memory(), _libraries(), *_extras()),
        *(javascript, _yt_dlp(), _decoders(), _ffmpeg(), _disk(folder, still_to_come), _hub()),
    ]


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


def _python() -> Finding:
    return Finding("Python", f"{platform.python_version()}, {platform.system()} on {platform.machine()}")


def _torch() -> Finding:
    """What models run on."""
    import torch

    found = f"torch {torch.__version__}"
    if not torch.accelerator.is_available():
        return Finding("device", f"{found}, CPU ({torch.get_num_threads()} threads)")
    kind = torch.accelerator.current_accelerator().type
    names = [kind]
    if kind == "cuda":
        devices = [torch.cuda.get_device_properties(place) for place in range(torch.cuda.device_count())]
        names = [f"{device.name} ({device.total_memory / 1e9:.0f} GB)" for device in devices]
    return Finding("device", f"{found}, {', '.join(names)}")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    return Finding("memory", f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free")


def _libraries() -> Finding:
    """Versions that results and reports of faults depend on."""
    names = ("surglavi-hf", "transformers", "datasets", "huggingface_hub", "accelerate", "pyarrow", "numpy")
    return Finding("libraries", ", ".join(f"{name} {version(name)}" for name in names))


def _extras() -> list[Finding]:
    """Which extras of this package are whole, as its metadata has them."""
    findings = []
    ours = metadata("surglavi-hf")
    for extra in ours.get_all("Provides-Extra") or []:
        if extra == "test":
            continue
        wanted = [Requirement(text) for text in ours.get_all("Requires-Dist") or []]
        wanted = [item for item in wanted if item.marker and item.marker.evaluate({"extra": extra})]
        missing = [item.name for item in wanted if not _is_installed(item)]
        remedy = f"pip install 'surglavi-hf[{extra}]', where it is wanted" if missing else None
        found = f"without {', '.join(missing)}" if missing else "there"
        findings.append(Finding(f"extra {extra}", found, remedy))
    return findings


def _is_installed(item: Requirement) -> bool:
    try:
        return item.specifier.contains(version(item.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _yt_dlp() -> Finding:
    ours = yt_dlp.version.__version__
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", ours)
    age = date.today() - date(*map(int, numbers.groups()))
    found = f"{ours}, {age.days} days old"
    return Finding("yt-dlp", found, "pip install --upgrade 'yt-dlp[default]'" if age > OLD_YT_DLP else None)


def _decoders() -> Finding:
    backends, problems = installed_backends(), backend_problems()
    return Finding(
        "decoders", ", ".join(backends) or "none", "; ".join(problems.values()) or None, needed=not backends
    )


def _ffmpeg() -> Finding:
    path = shutil.which("ffmpeg")
    return Finding("FFmpeg", path or "none", None if path else "install FFmpeg, if you want sound (--audio)")


def _disk(folder: Path, still_to_come: float) -> Finding:
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = VideoLibrary(folder).free_space()
    found = f"{free / 1e9:,.0f} GB free for {folder}"
    if not os.access(there, os.W_OK):
        return Finding("disk", f"{there} cannot be written to", "name another --data-dir", needed=True)
    if needed := still_to_come:
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
