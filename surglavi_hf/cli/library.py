# SPDX-License-Identifier: Apache-2.0
"""Commands that get videos and make them ready: download, adopt, manifest, frames, doctor."""

import argparse
import os
import re
from pathlib import Path
from typing import Any

from ..options import add_options, options_of
from .command import add_command, add_data_dir, whole


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "download",
        _download,
        _download_options,
        help="the videos of a database, from YouTube and elsewhere",
        description="Downloads the videos that are missing, as videos/NAME/NAME.mp4 beside the database; can be "
        "stopped and started again at any time. Every attempt is a line of downloads.jsonl. Exit status 0 where all "
        "videos are there, 1 where some are not, 2 for wrong usage, cookies that cannot be read, another run at work "
        "or no JavaScript runtime, 3 where it ended early. Further options of yt-dlp come last, after a lone --.",
        example="download --data-dir DIR --wait 60 -- --limit-rate 4M",
        error_status=2,
    )
    add_command(
        commands,
        "adopt",
        _adopt,
        _adopt_options,
        help="link videos that are on disk already into a library",
        description="Finds the videos of a database in a folder, flat or nested, by their name or YouTube id in the "
        "name of the file (NAME.mp4, ID.mkv, TITLE-ID, [ID] TITLE, ID_720p, v_ID, ID.f136, ID (1), …), reads each as "
        "a download is read, and links it into place. Nothing is copied, moved or deleted. Exit status 1 where a file "
        "or folder had to be skipped, 2 for wrong usage.",
        example="adopt /old/downloads --data-dir DIR",
        error_status=2,
    )
    add_command(
        commands,
        "manifest",
        _manifest,
        _manifest_options,
        help="a list of the videos that are there, to hand to a colleague",
        description="Writes names, YouTube ids, sizes, durations, formats and digests of the videos of a library, and "
        "no path. With --compare it writes nothing and says how the videos here differ from such a list. Exit "
        "status 1 where a video cannot be read, or something differs; 2 for wrong usage.",
        example="manifest --data-dir DIR --compare colleague.jsonl",
        error_status=2,
    )
    add_command(
        commands,
        "frames",
        _frames,
        _frames_options,
        help="store small frames of all videos, for fast training",
        description="Writes frames/NAME.arrow for each video of a library; what is up to date is skipped. Exit status "
        "1 where a video failed, 2 for wrong usage.",
        example="frames --data-dir DIR --workers 8",
        error_status=2,
    )
    add_command(
        commands,
        "doctor",
        _doctor,
        _doctor_options,
        help="what this machine has, and what it lacks for videos, models and evaluations",
        description="Shows Python, device, memory, versions of libraries and extras, and looks for a JavaScript "
        "runtime, yt-dlp, decoders, FFmpeg, disk and a Hub login; names the remedy for what is missing. Exit status 1 "
        "where something is needed (a JavaScript runtime is where videos are to be downloaded), 2 for wrong usage.",
        example="doctor --data-dir DIR",
        error_status=2,
    )


def _download_options(parser: argparse.ArgumentParser) -> None:
    from ..media import DownloadOptions

    add_data_dir(parser, required=True)
    parser.add_argument("--estimate", action="store_true", help="say what it will take, and download nothing")
    add_options(parser, DownloadOptions)
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="videos at a time (default: 1)")
    parser.add_argument(
        "--sleep",
        type=float,
        metavar="SECONDS",
        help="between the starts of two videos, of all workers together (default: 15 at YouTube, where a guest may "
        "have about 300 an hour; 0 elsewhere)",
    )
    parser.add_argument(
        "--wait",
        type=float,
        metavar="MINUTES",
        help="where a rate limit, a bot check or the network would end the run: wait so long, then go on",
    )
    parser.add_argument("--limit", type=whole(1), metavar="N", help="try so many videos at most")
    parser.add_argument("--ids", metavar="FILE", help="only these YouTube ids, addresses or names, one a line")
    parser.add_argument("--shard", type=_shard, metavar="I/N", help="only the I-th of N parts, for N machines")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed for good")
    parser.add_argument(
        "--retry-status",
        type=_statuses,
        default=(),
        metavar="STATUS,…",
        help="try again what failed so, for example format,gone after a run with a broken yt-dlp",
    )


def _download(options: argparse.Namespace) -> int:
    from rich import print as show

    from ..data import estimate_download, read_database_videos, show_download, show_estimate
    from ..media import DownloadOptions, download_videos, plan_downloads, read_ids, select_sources, shard

    download_options = options_of(DownloadOptions, options, ytdlp_arguments=options.ytdlp_arguments)
    videos = read_database_videos(options.data_dir)
    part = options.shard or (1, 1)
    sources = shard(videos.sources, *part)
    if options.ids:
        part_of_it = set(sources)
        sources = [source for source in select_sources(videos.sources, read_ids(options.ids)) if source in part_of_it]
    plan = plan_downloads(videos.library, sources, options.retry_failed, options.limit, options.retry_status)
    if options.estimate:
        show(show_estimate(estimate_download(videos, plan, options.max_height)))
        return 0
    if plan.at_youtube:
        _require_javascript(plan.at_youtube, download_options.ytdlp_options()["js_runtimes"])
    wait = None if options.wait is None else 60 * options.wait
    lock = "download" if options.shard is None else f"download-{part[0]}-of-{part[1]}"
    summary = download_videos(videos.library, plan, download_options, options.workers, options.sleep, lock, wait)
    show(show_download(summary, videos))
    return summary.exit_status


def _require_javascript(num_videos: int, runtimes: dict) -> None:
    """Without one YouTube gives nearly no formats, which would look as if the videos had none."""
    from ..doctor import examine_javascript

    finding = examine_javascript(runtimes)
    if finding.needed:
        raise RuntimeError(
            f"{num_videos:,} videos are at YouTube, which wants a {finding.what}, found: {finding.found}; "
            f"{finding.remedy}"
        )


def _adopt_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="where the videos are")
    add_data_dir(parser, required=True)


def _adopt(options: argparse.Namespace) -> int:
    from rich import print as show

    from ..data import read_database_videos, show_adoption
    from ..media import adopt_videos

    videos = read_database_videos(options.data_dir)
    adoption = adopt_videos(videos.library, videos.sources, options.folder)
    show(show_adoption(adoption))
    return adoption.exit_status


def _manifest_options(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser, required=True)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--output", metavar="FILE", help="where to write it (default: DIR/manifest.jsonl)")
    what.add_argument("--compare", metavar="FILE", help="a list of somebody else's, or of another disk")


def _manifest(options: argparse.Namespace) -> int:
    from rich.console import Console

    from ..data import read_database_videos, show_comparison, show_inventory
    from ..media import compare_inventories, read_inventory, take_inventory, write_inventory

    console = Console()
    other = read_inventory(options.compare) if options.compare else None
    videos = read_database_videos(options.data_dir)
    records = take_inventory(videos.library, videos.sources)
    if other is not None:
        comparison = compare_inventories(records, other)
        console.print(show_comparison(comparison), soft_wrap=True)
        return comparison.exit_status
    path = Path(options.output or videos.library.root / "manifest.jsonl")
    write_inventory(path, records)
    console.print(show_inventory(records, path), soft_wrap=True)
    return 1 if any(record.format is None for record in records) else 0


def _frames_options(parser: argparse.ArgumentParser) -> None:
    from ..media import FrameStoreOptions

    add_data_dir(parser, "folder that holds videos/", required=True)
    add_options(parser, FrameStoreOptions)
    parser.add_argument("--workers", type=int, metavar="N", help="videos at a time (default: one a core)")


def _frames(options: argparse.Namespace) -> int:
    from rich import print as show

    from ..data import show_frames
    from ..media import FrameStoreOptions, VideoLibrary, build_frame_stores

    library = VideoLibrary(os.path.expanduser(options.data_dir))
    if not library.downloaded_names():
        raise FileNotFoundError(
            f"no videos in {library.root / 'videos'}; run surglavi download or surglavi adopt first"
        )
    build = build_frame_stores(library, options_of(FrameStoreOptions, options), options.workers)
    show(show_frames(build))
    return 1 if build.failed else 0


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser, "where the videos go (default: .)", default=".")


def _doctor(options: argparse.Namespace) -> int:
    from rich import print as show

    from ..doctor import examine, show_findings

    findings = examine(options.data_dir)
    show(show_findings(findings))
    return 1 if any(finding.needed for finding in findings) else 0


def _statuses(text: str) -> tuple[str, ...]:
    from ..media import FAILURES

    statuses = tuple(text.split(","))
    if unknown := [status for status in statuses if status not in FAILURES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no status, expected some of {', '.join(FAILURES)}")
    return statuses


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r}, expected I/N with I from 1 to N")
    return int(match[1]), int(match[2])
