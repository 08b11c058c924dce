# SPDX-License-Identifier: Apache-2.0
"""The command `surglavi`: parses, then makes one public call per command."""

import argparse
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
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number >= 0")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status, 1 with one line on standard error where it failed."""
    options = build_parser().parse_args(arguments)
    # Imported here, so that --help and a wrong flag answer at once.
    from .data import VideoDecodeError

    try:
        from .demo import run_demo

        run_demo(options.output, options.seed)
    except ModuleNotFoundError as error:
        remedy = "pip install 'surglavi-hf[demo]'"
        print(f"surglavi {options.command}: error: {error.name} is not installed; {remedy}", file=sys.stderr)
        return 1
    except (OSError, ValueError, VideoDecodeError) as error:
        print(f"surglavi {options.command}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"surglavi {options.command}: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
