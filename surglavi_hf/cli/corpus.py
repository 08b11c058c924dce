# SPDX-License-Identifier: Apache-2.0
"""Commands that make and show a corpus: import, demo, check, tree."""

import argparse
import json
from typing import Any

from ..options import add_options, options_of
from .command import add_command, add_data_dir, whole


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "import",
        _import,
        _import_options,
        help="a corpus of one's own videos and captions",
        description="Makes a new folder DIR of the form that SurgLaVi has, out of captions (CSV, TSV or JSON lines "
        "with video, start, end, caption and maybe level; SRT or VTT named as their videos; or a folder of such "
        "files) and a folder of videos, which are linked. Everything is checked first: where a row is wrong, it is "
        "named, and nothing is written. Then check, tree, frames, train, retrieval, search, embed and push work on "
        "DIR.",
        example="import captions.csv --videos VIDEOS --data-dir DIR --title 'Our operations' --license cc-by-4.0",
    )
    add_command(
        commands,
        "demo",
        _demo,
        _demo_options,
        help="the whole road on a small drawn corpus, in minutes on a CPU",
        description="Draws a small SurgLaVi look-alike, trains a tiny SurgCLIP on it and evaluates it on videos it "
        "never saw. Writes corpus/, training/, summary.json and report.png.",
        example="demo --output demo",
    )
    add_command(
        commands,
        "check",
        _check,
        _check_options,
        help="which captions of a database cannot be used, and why",
        description="Reads a whole database and lists the captions that loading leaves out, by reason with examples. "
        "Exit status 1 where there are any.",
        example="check demo/corpus",
    )
    add_command(
        commands,
        "tree",
        _tree,
        _tree_options,
        help="the phases, steps and tasks of a video",
        description="Prints the captions of a video with their times, each under the one it lies in.",
        example="tree procedure-001 --data-dir demo/corpus",
    )


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="DIR", help="new folder, or one of an earlier demo")
    parser.add_argument("--seed", type=whole(0), default=0, help="of drawings, weights and order (default: 0)")


def _demo(options: argparse.Namespace) -> int:
    from ..demo.run import run_demo

    run_demo(options.output, options.seed)
    return 0


def _check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="DIR", help="folder that holds surglavi_beta.db, or a database")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON: captions, loaded, left_out")


def _check(options: argparse.Namespace) -> int:
    from ..data import check_database, show_check

    check = check_database(options.path)
    if options.json:
        print(json.dumps(check.to_dict()))
    else:
        from rich import print as show

        show(show_check(check))
    return 1 if check.left_out else 0


def _tree_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", metavar="VIDEO", help="name, YouTube id, address or video_id")
    add_data_dir(parser, "folder that holds surglavi_beta.db (default: SURGLAVI_DATA_DIR, then the Hub)")


def _tree(options: argparse.Namespace) -> int:
    from rich import print as show

    from ..data import caption_trees, show_tree

    for roots in caption_trees(options.video, options.data_dir):
        show(show_tree(roots))
    return 0


def _import_options(parser: argparse.ArgumentParser) -> None:
    from ..data.import_captions import ImportOptions

    parser.add_argument("captions", metavar="CAPTIONS", help="a file of captions, or a folder of them")
    parser.add_argument("--videos", required=True, metavar="DIR", help="folder of the videos, flat or nested")
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="new folder for the corpus")
    add_options(parser, ImportOptions)


def _import(options: argparse.Namespace) -> int:
    from rich import print as show

    from ..data.import_captions import ImportOptions, import_captions

    done = import_captions(options.captions, options.videos, options.data_dir, options_of(ImportOptions, options))
    levels = ", ".join(f"{number:,} of level {level}" for level, number in done.captions.items())
    show(f"{done.database.parent}: {done.videos:,} videos, captions: {levels}")
    if done.doubled:
        show(f"{done.doubled:,} captions came twice and are there once")
    if done.unused:
        show(f"{len(done.unused):,} videos have no captions and are left out, such as {done.unused[0]}")
    show(f"next: surglavi check {done.database.parent}")
    return 0
