# SPDX-License-Identifier: Apache-2.0
"""The command `surglavi`: parses, then makes one public call per command."""

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from .cli_options import build_parser
from .faults import report

_HUB = "aleperez24/SurgCLIP"
_USAGE = 2  # as argparse
_TELL_BY_1 = ("download", "adopt", "manifest", "frames", "doctor")


def main(arguments: list[str] | None = None) -> int:
    """
    Runs one command; returns the exit status. Where it failed there is one line on standard error and the status is 1,
    or 2 of commands whose status 1 tells what they found.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    further: list[str] = []
    if arguments[:1] == ["tree"]:
        arguments = _dashed_video_last(arguments)
    elif arguments[:1] == ["convert"] and "--from-hub" in arguments:
        arguments = ["convert", _HUB, *arguments[1:]]  # which stands where CHECKPOINT does
    elif arguments[:1] == ["download"] and "--" in arguments:
        place = arguments.index("--")
        arguments, further = arguments[:place], arguments[place + 1 :]
    options = build_parser().parse_args(arguments, argparse.Namespace(ytdlp_arguments=tuple(further)))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # captions need not fit a terminal's encoding
    try:
        status = _COMMANDS[options.command](options)
        sys.stdout.flush()
        return status
    except (Exception, KeyboardInterrupt) as error:
        status = report(error, f"surglavi {options.command}: ", options.debug)
        return _USAGE if status == 1 and options.command in _TELL_BY_1 else status


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


def _convert(options: argparse.Namespace) -> int:
    if options.revision and not options.from_hub:
        raise ValueError("--revision is of the Hub; add --from-hub, or leave it out")
    from .surgclip import convert_surgclip_checkpoint, download_surgclip_checkpoint

    checkpoint, revision = options.checkpoint, None
    if options.from_hub:
        checkpoint, revision = download_surgclip_checkpoint(options.revision or "main")
        print(f"{_HUB} at revision {revision}")
    tokenizer = {"tokenizer": options.tokenizer} if options.tokenizer else {}
    folder = convert_surgclip_checkpoint(checkpoint, options.output, revision=revision, **tokenizer)
    print(f"{folder}: load it with AutoModel.from_pretrained and AutoProcessor.from_pretrained")
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
    from .doctor import examine_javascript

    finding = examine_javascript(runtimes)
    if finding.needed:
        raise RuntimeError(
            f"{num_videos:,} videos are at YouTube, which wants a {finding.what}, found: {finding.found}; "
            f"{finding.remedy}"
        )


def _adopt(options: argparse.Namespace) -> int:
    from rich import print as show

    from .data import read_database_videos, show_adoption
    from .media import adopt_videos

    videos = read_database_videos(options.data_dir)
    adoption = adopt_videos(videos.library, videos.sources, options.folder)
    show(show_adoption(adoption))
    return adoption.exit_status


def _manifest(options: argparse.Namespace) -> int:
    from rich.console import Console

    from .data import read_database_videos, show_comparison, show_inventory
    from .media import compare_inventories, read_inventory, take_inventory, write_inventory

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


def _of(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        return getattr(import_module(f".{module}", __package__), name)(options)

    return run


_COMMANDS = {
    "demo": _demo,
    "check": _check,
    "tree": _tree,
    "convert": _convert,
    "download": _download,
    "adopt": _adopt,
    "manifest": _manifest,
    "frames": _frames,
    "doctor": _doctor,
    **{name: _of("cli_evaluation", name) for name in ("evaluate", "probe", "retrieval", "search", "embed")},
    **{f"push-{what}": _of("cli_hub", f"push_{what}") for what in ("dataset", "model")},
}

if __name__ == "__main__":
    sys.exit(main())
