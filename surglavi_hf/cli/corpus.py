# SPDX-License-Identifier: Apache-2.0
"""Commands that make, show and correct a corpus: import, demo, check, tree, review."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..options import add_options, options_of
from .command import add_command, add_data_dir, show_table, whole

if TYPE_CHECKING:
    from ..data.apply_reviews import AppliedReviews
    from ..data.reviews import Review


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
        "DIR. With --videos-only there are no captions yet: surglavi annotate makes them of what is said.",
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
    add_command(
        commands,
        "review",
        _review,
        _review_options,
        help="what reviewers of surglavi explore --review corrected: listed, or applied",
        description="Reads the reviews that lie beside a database, in reviews.jsonl. list shows them. apply makes a "
        "new database with them applied, or a pull request on a dataset that surglavi push-dataset filled; the "
        "database that was reviewed stays as it is. A caption whose reviews were made from other values than are "
        "there is left as it is and listed: exit status 1.",
        example="review apply --data-dir DIR --output NEW.db",
        error_status=2,
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

    parser.add_argument("captions", nargs="?", metavar="CAPTIONS", help="a file of captions, or a folder of them")
    parser.add_argument("--videos", required=True, metavar="DIR", help="folder of the videos, flat or nested")
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="new folder for the corpus")
    parser.add_argument("--videos-only", action="store_true", help="all videos of the folder, without captions")
    parser.add_argument(
        "--about",
        metavar="FILE",
        help="with --videos-only: CSV or TSV with video and some of title, year, procedure_modality, procedure_type, "
        "specialty, subject, description, url, youtube_id",
    )
    add_options(parser, ImportOptions)


def _import(options: argparse.Namespace) -> int:
    from rich import print as show

    from ..data.import_captions import ImportOptions, import_captions

    if options.videos_only:
        return _import_videos(options)
    if options.captions is None or options.about is not None:
        raise ValueError("import takes CAPTIONS, or --videos-only and maybe --about FILE")
    done = import_captions(options.captions, options.videos, options.data_dir, options_of(ImportOptions, options))
    levels = ", ".join(f"{number:,} of level {level}" for level, number in done.captions.items())
    show(f"{done.database.parent}: {done.videos:,} videos, captions: {levels}")
    if done.doubled:
        show(f"{done.doubled:,} captions came twice and are there once")
    if done.unused:
        show(f"{len(done.unused):,} videos have no captions and are left out, such as {done.unused[0]}")
    show(f"next: surglavi check {done.database.parent}")
    return 0


def _import_videos(options: argparse.Namespace) -> int:
    from rich.console import Console

    from ..data.import_videos import CorpusOptions, import_videos

    if options.captions is not None:
        raise ValueError(f"import --videos-only takes no captions, and {options.captions} was named; leave one out")
    done = import_videos(options.videos, options.data_dir, options_of(CorpusOptions, options), options.about)
    folder = done.database.parent
    told = f", {done.described:,} of them told about" if options.about else ""
    lines = [
        f"{folder}: {done.videos:,} videos, {done.duration / 3600:.2f} hours{told}",
        f"next: surglavi annotate transcribe --data-dir {folder}",
    ]
    for line in lines:
        Console().print(line, markup=False, soft_wrap=True)
    return 0


def _review_options(parser: argparse.ArgumentParser) -> None:
    from ..data import SplitOptions

    parser.add_argument("action", choices=("apply", "list"), help="apply them, or list them")
    add_data_dir(parser, "folder that holds surglavi_beta.db and reviews.jsonl", required=True)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--output", metavar="NEW.db", help="apply: the new database")
    where.add_argument("--repo-id", metavar="NAME/REPOSITORY", help="apply: open a pull request on this dataset")
    parser.add_argument("--json", action="store_true", help="list: print each review as a line of JSON")
    splits = parser.add_argument_group("splits", "with --repo-id, where they are not to stay as they are published")
    add_options(splits, SplitOptions)


def _review(options: argparse.Namespace) -> int:
    from ..data import SplitOptions

    splits = options_of(SplitOptions, options)
    given = splits if splits != SplitOptions() else None
    if options.action == "list":
        if options.output or options.repo_id or given:
            raise ValueError("review list shows reviews alone; to apply them: review apply")
        return _list_reviews(options)
    if options.json or not (options.output or options.repo_id) or (given and options.output):
        raise ValueError(
            "review apply takes --output NEW.db, or --repo-id NAME/REPOSITORY and its splits, and no --json"
        )
    if options.output:
        from ..data.apply_reviews import apply_reviews

        applied = apply_reviews(options.data_dir, options.output)
        lines = [f"next: surglavi check {applied.database}"]
    else:
        from ..hub import push_reviews

        done = push_reviews(options.data_dir, options.repo_id, given)
        applied, lines = done.applied, [f"{options.repo_id} has all of it already; no pull request was opened"]
        if done.url:
            lines = [f"{done.url}: {len(done.changed):,} files change when it is merged"]
        if done.outdated:
            lines.append(
                f"{done.outdated:,} published embeddings are of clips with other times now; when it is merged, run "
                "surglavi embed and surglavi push-dataset --embeddings"
            )
    _show_applied(applied, lines)
    return 1 if applied.conflicts else 0


def _show_applied(applied: "AppliedReviews", lines: list[str]) -> None:
    from rich.console import Console

    console = Console()
    counts = f"{applied.changed:,} captions changed, {applied.added:,} added, {applied.deleted:,} deleted"
    reviews = ", ".join(f"{count:,} {action}" for action, count in applied.actions.items())
    lines = [f"{counts} (reviews: {reviews or 'none'})", *lines]
    if applied.flagged:
        lines.append(f"{applied.flagged:,} captions are flagged, and nobody approved, or deleted them since")
    if applied.skipped:
        lines.append(f"{applied.skipped:,} lines of the log are no reviews; they were skipped")
    if applied.conflicts:
        rows = [
            [
                str(conflict.caption_id),
                conflict.video_name,
                conflict.reason,
                _difference(conflict.expected, conflict.found),
            ]
            for conflict in applied.conflicts
        ]
        header = ["caption", "video", "why", "reviewed → there"]
        console.print(show_table("left as they are: reviews of another version", header, _printable(rows)))
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _list_reviews(options: argparse.Namespace) -> int:
    from rich.console import Console

    from ..data import find_database
    from ..data.reviews import REVIEWS_NAME, ReviewLog

    log = ReviewLog(find_database(options.data_dir).with_name(REVIEWS_NAME))
    reviews = log.read()
    if options.json:
        for review in reviews:
            print(json.dumps(asdict(review)))
        return 0
    console = Console()
    header = ["when", "who", "what", "caption", "video", "before → after"]
    console.print(show_table(f"{len(reviews):,} reviews", header, _printable([_review_row(one) for one in reviews])))
    return 0


def _review_row(review: "Review") -> list[str]:
    what = "" if review.action == "delete" else _difference(review.before, review.after)
    remark = " ".join(review.remark.split())
    said = "; ".join(filter(None, (what, remark and f"“{remark}”")))
    return [
        review.time[:16].replace("T", " "),
        review.reviewer,
        review.action,
        str(review.caption_id),
        review.video_name,
        said,
    ]


def _difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Returns the values of fields, those before and after where there are both."""
    parts = []
    for name in {**before, **after}:
        values = [json.dumps(part[name], ensure_ascii=False) for part in (before, after) if name in part]
        parts.append(f"{name}: {' → '.join(values)}")
    return "; ".join(parts)


def _printable(rows: list[list[str]]) -> list[list[str]]:
    from ..files import printable

    return [[printable(cell) for cell in row] for row in rows]
