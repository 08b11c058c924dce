# SPDX-License-Identifier: Apache-2.0
"""What came of downloading, adopting and storing frames, as people look at it in a terminal."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..files import printable
from .acquire import DatabaseVideos, DownloadEstimate

if TYPE_CHECKING:
    from ..media import Adoption, Comparison, DownloadSummary, FrameStoreBuild, VideoRecord

_NAMES_SHOWN = 10


def show_estimate(estimate: DownloadEstimate) -> RenderableType:
    """Returns what a download will take."""
    table = Table("what", "how much", title="before anything is downloaded", title_justify="left")
    table.columns[1].justify = "right"
    table.add_row("videos to download", f"{estimate.videos:,} ({estimate.there:,} there already)")
    table.add_row("hours of video", f"{estimate.hours:,.1f}")
    source = f"measured on {estimate.measured:,} downloads" if estimate.measured else "supposed from typical bitrates"
    table.add_row(f"disk, {source}", f"about {estimate.size / 1e9:,.1f} GB")
    enough = estimate.free >= estimate.size
    free = f"{estimate.free / 1e9:,.1f} GB"
    table.add_row("… free", Text(free if enough else f"only {free}: make room first", "" if enough else "red"))
    table.add_row("hours of downloading from YouTube without an account, at least", f"{estimate.download_hours:,.1f}")
    table.add_row("captions of these videos", _captions(estimate.captions))
    return table


def show_download(summary: "DownloadSummary", videos: DatabaseVideos) -> RenderableType:
    """Returns how many videos are there and why others are not, with the captions that are lost with them."""
    table = Table("videos", "number", "captions", title="downloads", title_justify="left")
    table.columns[1].justify = "right"
    for status, count in summary.counts.items():
        names = [name for name, value in summary.statuses.items() if value == status]
        table.add_row(Text(status or "not tried yet"), f"{count:,}", _captions(videos.count_captions(names)))
    if summary.left_out:
        table.add_row("left to another run by --limit", f"{len(summary.left_out):,}", "")
    lost = videos.count_captions(summary.missing)
    parts: list[RenderableType] = [table]
    if summary.missing:
        parts.append(Text(f"captions without a video: {_captions(lost)}"))
    if summary.stopped:
        parts.append(Text(summary.stopped, "yellow"))
    elif any(status not in ("ok", None) for status in summary.statuses.values()):
        manifest = videos.library.manifest_path
        parts.append(
            Text(
                f"reasons are in {manifest}; --retry-failed tries all that are not there again, "
                "--retry-status those of some"
            )
        )
    return Group(*parts)


def show_adoption(adoption: "Adoption") -> RenderableType:
    """Returns what was linked and what was not."""
    table = Table("files and videos", "number", "examples", title="adopted", title_justify="left")
    table.columns[1].justify = "right"
    for what, items in (
        ("videos linked", adoption.adopted),
        ("videos there before", adoption.there),
        ("videos missing", adoption.missing),
        ("files of no video", (path.name for path in adoption.unknown)),
        ("files of a video that has another", (path.name for path in adoption.unused)),
        ("skipped: not whole, or not readable", (path.name for path in adoption.skipped)),
    ):
        items = list(items)
        table.add_row(what, f"{len(items):,}", Text(_shown(items, 3)))
    reasons = [Text(printable(f"{path}: {reason}"), "yellow") for path, reason in adoption.skipped.items()]
    unknown = [Text(f"of no video: {_shown(map(str, adoption.unknown), _NAMES_SHOWN)}")] if adoption.unknown else []
    return Group(table, *unknown, *reasons)


def show_inventory(records: "list[VideoRecord]", path: Path) -> RenderableType:
    """Returns how many videos a list holds, and which of them cannot be read."""
    size = sum(record.size for record in records)
    parts = [Text(printable(f"{path}: {len(records):,} videos, {size / 1e9:,.1f} GB"))]
    if broken := [record.name for record in records if record.format is None]:
        parts.append(Text(f"{len(broken):,} cannot be read: {_shown(broken, _NAMES_SHOWN)}", "red"))
    return Group(*parts)


def show_comparison(comparison: "Comparison") -> RenderableType:
    """Returns what differs between the videos here and those of a list, a line each."""
    lines = [f"< {_record(record)}" for record in comparison.only_here]
    lines += [f"> {_record(record)}" for record in comparison.only_there]
    for mark, pairs in (("~", comparison.renamed), ("!", comparison.different)):
        lines += [f"{mark} {_record(here)} | {_record(there)}" for here, there in pairs]
    total = (
        f"{len(comparison.same):,} the same, {len(comparison.only_here):,} only here (<), "
        f"{len(comparison.only_there):,} only there (>), {len(comparison.renamed):,} under another name (~), "
        f"{len(comparison.different):,} with other content (!)"
    )
    return Group(*(Text(printable(line)) for line in (*lines, total)))


def _record(record: "VideoRecord") -> str:
    duration = "unknown duration" if record.duration is None else f"{record.duration:,.1f} s"
    return f"{record.name}: {record.format or 'unreadable'}, {duration}, {record.size:,} bytes"


def show_frames(build: "FrameStoreBuild") -> RenderableType:
    """Returns how many frame stores were written, and which videos failed."""
    parts = [
        Text(
            f"{len(build.written):,} frame stores written with {sum(build.written.values()):,} frames, "
            + (f"{len(build.upgraded):,} upgraded, " if build.upgraded else "")
            + f"{len(build.skipped):,} up to date, {len(build.failed):,} failed"
        )
    ]
    if build.failed:
        parts.append(Text(f"failed: {_shown(build.failed, _NAMES_SHOWN)}", "red"))
    return Group(*parts)


def _captions(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {level}" for level, count in counts.items())


def _shown(names: Iterable[str], count: int) -> str:
    names = list(names)
    shown = [printable(name) for name in names[:count]]
    return ", ".join(shown) + (f" and {len(names) - count:,} more" if len(names) > count else "")
