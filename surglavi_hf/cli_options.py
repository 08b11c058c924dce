# SPDX-License-Identifier: Apache-2.0
"""The commands of `surglavi` and their options."""

import argparse
import re
from typing import Any

from .cli_evaluation_options import add_evaluation
from .cli_hub_options import add_hub

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
    tree.add_argument("video", metavar="VIDEO", help="name, YouTube id, address or video_id")
    tree.add_argument(
        *_DATA_DIR,
        metavar="DIR",
        help="folder that holds surglavi_beta.db (default: SURGLAVI_DATA_DIR, then the Hub)",
    )
    _add_convert(commands)
    _add_download(commands)
    _add_media(commands)
    add_evaluation(commands)
    add_hub(commands)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show where an error comes from (its traceback)")
    return parser


def _add_convert(commands: Any) -> None:
    convert = commands.add_parser(
        "convert",
        help="released SurgCLIP weights as a folder for from_pretrained",
        description="Reads released SurgCLIP-B weights, runs no code of theirs, and writes OUT: config, safetensors, "
        "video processor, tokenizer, model code and a card. Refuses, and writes nothing, where a weight is missing, "
        "unknown, of another shape or not finite.",
        usage="surglavi convert [-h] (CHECKPOINT | --from-hub [--revision COMMIT]) OUT [--tokenizer DIR]",
        epilog="example: surglavi convert surgclip_beta.pth surgclip-beta",
    )
    convert.add_argument("checkpoint", metavar="CHECKPOINT", help="for example surgclip_beta.pth")
    convert.add_argument("output", metavar="OUT", help="new or empty folder")
    convert.add_argument("--from-hub", action="store_true", help="download the checkpoint from aleperez24/SurgCLIP")
    convert.add_argument(
        "--revision", metavar="COMMIT", help="of the Hub repository (default: its newest, which is told)"
    )
    convert.add_argument(
        "--tokenizer", metavar="DIR", help="folder or Hub id of its tokenizer (default: google-bert/bert-base-uncased)"
    )


def _add_download(commands: Any) -> None:
    download = commands.add_parser(
        "download",
        help="the videos of a database, from YouTube and elsewhere",
        description="Downloads the videos that are missing, as videos/NAME/NAME.mp4 beside the database; can be "
        "stopped and started again at any time. Every attempt is a line of downloads.jsonl. Exit status 0 where all "
        "videos are there, 1 where some are not, 2 for wrong usage, cookies that cannot be read, another run at work "
        "or no JavaScript runtime, 3 where it ended early. Further options of yt-dlp come last, after a lone --.",
        epilog="example: surglavi download --data-dir DIR --wait 60 -- --limit-rate 4M",
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
    download.add_argument(
        "--sleep",
        type=float,
        metavar="SECONDS",
        help="between the starts of two videos, of all workers together (default: 15 at YouTube, where a guest may "
        "have about 300 an hour; 0 elsewhere)",
    )
    download.add_argument(
        "--wait",
        type=float,
        metavar="MINUTES",
        help="where a rate limit, a bot check or the network would end the run: wait so long, then go on",
    )
    download.add_argument("--limit", type=_count, metavar="N", help="try so many videos at most")
    download.add_argument("--ids", metavar="FILE", help="only these YouTube ids, addresses or names, one a line")
    download.add_argument("--shard", type=_shard, metavar="I/N", help="only the I-th of N parts, for N machines")
    download.add_argument("--retry-failed", action="store_true", help="try again what failed for good")
    download.add_argument(
        "--retry-status",
        type=_statuses,
        default=(),
        metavar="STATUS,…",
        help="try again what failed so, for example format,gone after a run with a broken yt-dlp",
    )


def _add_media(commands: Any) -> None:
    adopt = commands.add_parser(
        "adopt",
        help="link videos that are on disk already into a library",
        description="Finds the videos of a database in a folder, flat or nested, by their name or YouTube id in the "
        "name of the file (NAME.mp4, ID.mkv, TITLE-ID, [ID] TITLE, ID_720p, v_ID, ID.f136, ID (1), …), reads each as "
        "a download is read, and links it into place. Nothing is copied, moved or deleted. Exit status 1 where a file "
        "or folder had to be skipped, 2 for wrong usage.",
        epilog="example: surglavi adopt /old/downloads --data-dir DIR",
    )
    adopt.add_argument("folder", metavar="FOLDER", help="where the videos are")
    adopt.add_argument(*_DATA_DIR, required=True, metavar="DIR", help="folder that holds surglavi_beta.db")
    manifest = commands.add_parser(
        "manifest",
        help="a list of the videos that are there, to hand to a colleague",
        description="Writes names, YouTube ids, sizes, durations, formats and digests of the videos of a library, and "
        "no path. With --compare it writes nothing and says how the videos here differ from such a list. Exit "
        "status 1 where a video cannot be read, or something differs; 2 for wrong usage.",
        epilog="example: surglavi manifest --data-dir DIR --compare colleague.jsonl",
    )
    manifest.add_argument(*_DATA_DIR, required=True, metavar="DIR", help="folder that holds surglavi_beta.db")
    what = manifest.add_mutually_exclusive_group()
    what.add_argument("--output", metavar="FILE", help="where to write it (default: DIR/manifest.jsonl)")
    what.add_argument("--compare", metavar="FILE", help="a list of somebody else's, or of another disk")
    frames = commands.add_parser(
        "frames",
        help="store small frames of all videos, for fast training",
        description="Writes frames/NAME.arrow for each video of a library; what is up to date is skipped. Exit status "
        "1 where a video failed, 2 for wrong usage.",
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
        "remedy for what is missing. Exit status 1 where something is needed, 2 for wrong usage.",
        epilog="example: surglavi doctor --data-dir DIR",
    )
    doctor.add_argument(*_DATA_DIR, default=".", metavar="DIR", help="where the videos go (default: .)")


def _statuses(text: str) -> tuple[str, ...]:
    from .media import FAILURES

    statuses = tuple(text.split(","))
    if unknown := [status for status in statuses if status not in FAILURES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no status, expected some of {', '.join(FAILURES)}")
    return statuses


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
