# SPDX-License-Identifier: Apache-2.0
"""The command `surglavi`: parses, then makes one public call per command."""

import argparse
import io
import json
import re
import sys


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
        epilog="example: surglavi tree procedure-001 --data_dir demo/corpus",
    )
    tree.add_argument("video", metavar="VIDEO", help="name, YouTube id or video_id")
    tree.add_argument(
        "--data_dir",
        metavar="DIR",
        help="folder that holds surglavi_beta.db (default: SURGLAVI_DATA_DIR, then the Hub)",
    )
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number >= 0")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status, 1 with one line on standard error where it failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["tree"]:
        arguments = _dashed_video_last(arguments)
    options = build_parser().parse_args(arguments)
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


_COMMANDS = {"demo": _demo, "check": _check, "tree": _tree}

if __name__ == "__main__":
    sys.exit(main())
