# SPDX-License-Identifier: Apache-2.0
"""The command `surglavi`: parses, then makes one public call per command."""

import argparse
import io
import json
import os
import re
import sys
from typing import Any

_DATA_DIR = ("--data-dir", "--data_dir")  # training spells it with an underscore, as transformers does


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="surglavi", description="SurgLaVi and SurgCLIP, Hugging Face native.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="the whole road on a small drawn corpus, in minutes on a CPU",
        description="Draws a small SurgLaVi look-alike, trains a tiny SurgCLIP on it and evaluates it on videos it "
        "never saw. Writes corpus/, training/, summary.json and report.png.",
        epilog="example: surglavi demo --output demo",
    )
    demo.add_argument("--output", required=True, metavar="DIR", help="new folder, or one of an earlier demo")
    demo.add_argument("--seed", type=_seed, default=0, help="of drawings, weights and order (default: 0)")
    check = commands.add_parser(
        "check",
        help="which captions of a database cannot be used, and why",
        description="Reads a whole database and lists the captions that loading leaves out, by reason with examples. "
        "Exit status 1 where there are any.",
        epilog="example: surglavi check demo/corpus",
    )
    check.add_argument("path", metavar="DIR", help="folder that holds surglavi_beta.db, or a database")
    check.add_argument("--json", action="store_true", help="print the counts as JSON: captions, loaded, left_out")
    tree = commands.add_parser(
        "tree",
        help="the phases, steps and tasks of a video",
        description="Prints the captions of a video with their times, each under the one it lies in.",
        epilog="example: surglavi tree procedure-001 --data-dir demo/corpus",
    )
    tree.add_argument("video", metavar="VIDEO", help="name, YouTube id or video_id")
    tree.add_argument(
        *_DATA_DIR,
        metavar="DIR",
        help="folder that holds surglavi_beta.db (default: SURGLAVI_DATA_DIR, then the Hub)",
    )
    _add_download(commands)
    _add_media(commands)
    return parser


def _add_download(commands: Any) -> None:
    download = commands.add_parser(
        "download",
        help="the videos of a database, from YouTube and elsewhere",
        description="Downloads the videos that are missing, as videos/NAME/NAME.mp4 beside the database; can be "
        "stopped and started again at any time. Every attempt is a line of downloads.jsonl. Exit status 0 where all "
        "videos are there, 1 where some are not, 2 where it ended early. Further options of yt-dlp come last, after "
        "a lone --.",
        epilog="example: surglavi download --data-dir DIR --sleep 5 -- --limit-rate 4M",
    )
    download.add_argument(*_DATA_DIR, required=True, metavar="DIR", help="folder that holds surglavi_beta.db")
    download.add_argument("--estimate", action="store_true", help="say what it will take, and download nothing")
    cookies = download.add_mutually_exclusive_group()
    cookies.add_argument("--cookies", metavar="FILE", help="cookie file in Netscape's format; it is only read")
    cookies.add_argument("--cookies-from-browser", metavar="BROWSER", help="as yt-dlp's option, for example firefox")
    download.add_argument("--proxy", metavar="URL", help="HTTP or SOCKS proxy")
    download.add_argument("--max-height", type=int, default=720, metavar="PIXELS", help="at most (default: 720)")
    download.add_argument("--audio", action="store_true", help="keep the sound; needs FFmpeg")
    download.add_argument("--workers", type=int, default=1, metavar="N", help="videos at a time (default: 1)")
    download.add_argument("--sleep", type=float, default=0.0, metavar="SECONDS", help="after each video (default: 0)")
    download.add_argument("--limit", type=_count, metavar="N", help="try so many videos at most")
    download.add_argument("--ids", metavar="FILE", help="only these YouTube ids or names, one a line")
    download.add_argument("--shard", type=_shard, metavar="I/N", help="only the I-th of N parts, for N machines")
    download.add_argument("--retry-failed", action="store_true", help="try again what failed for good")


def _add_media(commands: Any) -> None:
    adopt = commands.add_parser(
        "adopt",
        help="link videos that are on disk already into a library",
        description="Finds the videos of a database in a folder, flat or nested, named NAME.*, ID.*, TITLE-ID.* or "
        "TITLE [ID].*, and links them into place. Nothing is copied, moved or deleted.",
        epilog="example: surglavi adopt /old/downloads --data-dir DIR",
    )
    adopt.add_argument("folder", metavar="FOLDER", help="where the videos are")
    adopt.add_argument(*_DATA_DIR, required=True, metavar="DIR", help="folder that holds surglavi_beta.db")
    frames = commands.add_parser(
        "frames",
        help="store small frames of all videos, for fast training",
        description="Writes frames/NAME.arrow for each video of a library; what is up to date is skipped. Exit status "
        "1 where a video failed.",
        epilog="example: surglavi frames --data-dir DIR --workers 8",
    )
    frames.add_argument(*_DATA_DIR, required=True, metavar="DIR", help="folder that holds videos/")
    frames.add_argument("--fps", type=float, default=4.0, help="frames a second (default: 4)")
    frames.add_argument("--short-side", type=int, default=256, metavar="PIXELS", help="(default: 256)")
    frames.add_argument("--quality", type=int, default=90, help="of the JPEG images, 1 to 100 (default: 90)")
    frames.add_argument("--workers", type=int, metavar="N", help="videos at a time (default: one a core)")
    doctor = commands.add_parser(
        "doctor",
        help="whether this machine has what downloads and decoding need",
        description="Looks for a JavaScript runtime, yt-dlp, decoders, FFmpeg, disk and a Hub login, and names the "
        "remedy for what is missing. Exit status 1 where something is needed.",
        epilog="example: surglavi doctor --data-dir DIR",
    )
    doctor.add_argument(*_DATA_DIR, default=".", metavar="DIR", help="where the videos go (default: .)")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number >= 1")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r}, expected I/N with I from 1 to N")
    return int(match[1]), int(match[2])


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number >= 0")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status, 1 with one line on standard error where it failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    further: list[str] = []
    if arguments[:1] == ["tree"]:
        arguments = _dashed_video_last(arguments)
    elif arguments[:1] == ["download"] and "--" in arguments:
        place = arguments.index("--")
        arguments, further = arguments[:place], arguments[place + 1 :]
    options = build_parser().parse_args(arguments, argparse.Namespace(ytdlp_arguments=tuple(further)))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # captions need not fit a terminal's encoding
    # Imported here, so that --help and a wrong flag answer at once.
    from .data import VideoDecodeError

    try:
        return _COMMANDS[options.command](options)
    except ModuleNotFoundError as error:
        remedy = "pip install 'surglavi-hf[demo]'"
        print(f"surglavi {options.command}: error: {error.name} is not installed; {remedy}", file=sys.stderr)
        return 1
    except (OSError, ValueError, VideoDecodeError) as error:
        print(f"surglavi {options.command}: error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"surglavi {options.command}: stopped", file=sys.stderr)
        return 130


def _dashed_video_last(arguments: list[str]) -> list[str]:
    """One in sixty YouTube ids starts with a dash; argparse takes it for a flag unless it follows `--`."""
    dashed = [text for text in arguments if re.fullmatch(r"-[\w-]{10}", text, re.ASCII)]
    others = [text for text in arguments if text not in dashed]
    return [*others, "--", *dashed] if dashed and "--" not in arguments else arguments


def _demo(options: argparse.Namespace) -> int:
    from .demo import run_demo

    run_demo(options.output, options.seed)
    return 0


def _check(options: argparse.Namespace) -> int:
    from .data import check_database, show_check

    check = check_database(options.path)
    if options.json:
        print(json.dumps(check.to_dict()))
    else:
        from rich import print as show

        show(show_check(check))
    return 1 if check.left_out else 0


def _tree(options: argparse.Namespace) -> int:
    from rich import print as show

    from .data import caption_trees, show_tree

    for roots in caption_trees(options.video, options.data_dir):
        show(show_tree(roots))
    return 0


def _download(options: argparse.Namespace) -> int:
    from rich import print as show

    from .data import estimate_download, read_database_videos, show_download, show_estimate
    from .media import DownloadOptions, download_videos, plan_downloads, read_ids, select_sources, shard

    videos = read_database_videos(options.data_dir)
    part = options.shard or (1, 1)
    sources = shard(videos.sources, *part)
    if options.ids:
        part_of_it = set(sources)
        sources = [source for source in select_sources(videos.sources, read_ids(options.ids)) if source in part_of_it]
    names = ("max_height", "audio", "cookies", "cookies_from_browser", "proxy", "ytdlp_arguments")
    download_options = DownloadOptions(**{name: getattr(options, name) for name in names})
    plan = plan_downloads(videos.library, sources, options.retry_failed, options.limit)
    if options.estimate:
        show(show_estimate(estimate_download(videos, plan, options.max_height)))
        return 0
    lock = "download" if options.shard is None else f"download-{part[0]}-of-{part[1]}"
    summary = download_videos(videos.library, plan, download_options, options.workers, options.sleep, lock)
    show(show_download(summary, videos))
    return summary.exit_status


def _adopt(options: argparse.Namespace) -> int:
    from rich import print as show

    from .data import read_database_videos, show_adoption
    from .media import adopt_videos

    videos = read_database_videos(options.data_dir)
    show(show_adoption(adopt_videos(videos.library, videos.sources, options.folder)))
    return 0


def _frames(options: argparse.Namespace) -> int:
    from rich import print as show

    from .data import show_frames
    from .media import FrameStoreOptions, VideoLibrary, build_frame_stores

    frame_store_options = FrameStoreOptions(options.fps, options.short_side, options.quality)
    library = VideoLibrary(os.path.expanduser(options.data_dir))
    if not library.downloaded_names():
        raise FileNotFoundError(
            f"no videos in {library.root / 'videos'}; run surglavi download or surglavi adopt first"
        )
    build = build_frame_stores(library, frame_store_options, options.workers)
    show(show_frames(build))
    return 1 if build.failed else 0


def _doctor(options: argparse.Namespace) -> int:
    from rich import print as show

    from .doctor import examine, show_findings

    findings = examine(options.data_dir)
    show(show_findings(findings))
    return 1 if any(finding.needed for finding in findings) else 0


_COMMANDS = {
    "demo": _demo,
    "check": _check,
    "tree": _tree,
    "download": _download,
    "adopt": _adopt,
    "frames": _frames,
    "doctor": _doctor,
}

if __name__ == "__main__":
    sys.exit(main())
