# SPDX-License-Identifier: Apache-2.0
"""Commands on the clips of a corpus: retrieval, search, embed."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..options import add_options, options_of
from .command import add_command, add_data_dir, show_table, warn, whole
from .models import add_model, load_model

if TYPE_CHECKING:
    from ..data import CaptionOptions, Embeddings

VALIDATION_FRACTION = 0.05  # where none is given


def add_commands(commands: Any) -> None:
    add_command(
        commands,
        "retrieval",
        _retrieval,
        _retrieval_options,
        help="text-to-video and video-to-text retrieval on a corpus",
        description="Ranks clips for captions and captions for clips, level by level. Writes a report of each.",
        example="retrieval --data-dir DIR --model surgclip-beta --output evaluation",
    )
    add_command(
        commands,
        "search",
        _search,
        _search_options,
        help="the clips that are most like a text",
        description="Looks through an index of clip embeddings; builds it first where there is none, which --data-dir "
        "is for.",
        example='search "clip the cystic duct" --index index --model surgclip-beta --data-dir DIR --output found.png',
    )
    add_command(
        commands,
        "embed",
        _embed,
        _embed_options,
        help="the embeddings of all clips that are on disk, as a Parquet file",
        description="Writes a row for each caption: caption_id, embedding (float16), model_id, model_revision, as "
        "surglavi push-dataset --embeddings publishes. Can be stopped and started again: what is done lies in "
        ".NAME-parts beside FILE until it is through. FILE.unreadable.json lists the clips that cannot be read.",
        example="embed --data-dir DIR --model surgclip-beta --output embeddings.parquet",
    )


def _retrieval_options(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser, "holds surglavi_beta.db, and videos without --embeddings")
    parser.add_argument("--output", required=True, metavar="OUT", help="folder for the reports")
    _add_split(parser, "validation")
    _add_embedding(parser)


def _retrieval(options: argparse.Namespace) -> int:
    from ..data import Level
    from ..evaluation import EmbeddingOptions, retrieval
    from ..evaluation.clip_embeddings import claimed
    from ..evaluation.launched import Processes
    from ..evaluation.overlap import overlap_notice
    from ..evaluation.published import report_markdown
    from ..evaluation.report import check_replaceable
    from ..files import write_text

    folder = Path(options.output)
    levels = [options.level] if options.level else [level.name.lower() for level in Level]
    known = _embeddings(options)
    name, title = _corpus(options)
    for level in levels:
        for suffix in (".json", ".md"):
            check_replaceable(folder / f"{name}_{level}_retrieval{suffix}", suffix)
    encoder = load_model(options.model, options.revision)
    first = Processes().index == 0
    folder.mkdir(parents=True, exist_ok=True)
    rows, names, left_out, notices = [], [], {}, []
    with claimed(folder / ".surglavi-retrieval-parts") as parts:  # kept for all levels, if it is stopped
        for level in levels:
            dataset = load_captions(options, level, options.split)
            report = retrieval(
                encoder,
                None,
                dataset,
                f"{name}_{level}_retrieval",
                known,
                options=options_of(EmbeddingOptions, options),
                parts=parts,
            )
            report.protocol |= {"split": options.split, **selection(options)}
            report.title = f"{title}, {level}: retrieval"
            if first:
                report.to_json(folder / f"{report.benchmark}.json")
                write_text(folder / f"{report.benchmark}.md", report_markdown(report))
            left_out[folder / f"{report.benchmark}.json"] = len(report.unreadable)
            names = list(report.metrics)
            rows.append([level, *(f"{value:.4g}" for value in report.metrics.values())])
            notices.append(overlap_notice(encoder.model, report.protocol["trained_on_videos"]))
            notices.append(_lacking(options, level, report.protocol.get("num_clips_without_embedding", 0)))
    if not first:
        return 0
    turned = [[name, *values] for name, *values in zip(names, *(row[1:] for row in rows), strict=True)]
    console = Console()
    console.print(show_table("retrieval", ["measure", *(row[0] for row in rows)], turned))
    for notice in filter(None, dict.fromkeys(notices)):
        warn(console, notice)
    return _say_left_out(options, sum(left_out.values()), *(path for path, count in left_out.items() if count))


def _corpus(options: argparse.Namespace) -> tuple[str, str]:
    """What reports are named and headed with: SurgLaVi, or what another corpus says it is."""
    from ..data import read_corpus_info

    if not options.data_dir:
        return "corpus", options.embeddings.removeprefix("hub:")
    corpus = read_corpus_info(options.data_dir)
    return ("surglavi", "SurgLaVi") if corpus is None else ("corpus", corpus.title)


def _search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", help="what to look for")
    parser.add_argument("--index", required=True, metavar="DIR", help="folder of the index; new, to build it")
    add_data_dir(parser, "holds surglavi_beta.db, and the videos without --embeddings")
    parser.add_argument("--top", type=whole(0), default=5, metavar="N", help="clips shown (default: 5)")
    parser.add_argument("--output", metavar="FILE", help="write a contact sheet, NAME.png")
    _add_split(parser, None)
    _add_embedding(parser)


def _search(options: argparse.Namespace) -> int:
    from ..data import VideoDecodeError
    from ..evaluation import EmbeddingOptions, build_search_index, search
    from ..evaluation.figures import FRAMES_SHOWN, draw_contact_sheet
    from ..evaluation.launched import Processes
    from ..evaluation.overlap import overlap_notice
    from ..evaluation.report import check_replaceable
    from ..evaluation.search import has_index, read_index
    from ..files import printable

    if not options.text.strip() or options.top < 1:
        raise ValueError(f"TEXT {options.text!r}, --top {options.top}: expected words and a whole number >= 1")
    if options.output:
        check_replaceable(options.output, ".png")
    known = _embeddings(options)
    encoder = load_model(options.model, options.revision)
    level, split = options.level or "task", options.split or "train"
    selection = f"level {level}, split {split}"
    built = not has_index(options.index)
    if not built:
        about = read_index(options.index)
        if (options.level or options.split) and about["selection"] != selection:
            raise ValueError(f"{options.index} has {about['selection']}, not {selection}; name another folder")
        if known and known.digest not in about.get("clip_embeddings", ""):
            raise ValueError(f"{options.index} was not built of {options.embeddings}; name another folder")
    else:
        if not options.data_dir and not known:
            raise ValueError(f"there is no index in {options.index} yet; give --data-dir to build it, or --embeddings")
        dataset, how = load_captions(options, level, split), options_of(EmbeddingOptions, options)
        build_search_index(encoder, None, dataset, options.index, how, selection, known)
    if Processes().index:
        return 0
    found = search(encoder, None, options.index, options.text, options.top)
    console, pictures = Console(), []
    for place, clip in enumerate(found, start=1):
        what = f"{clip.score:.3f}  {printable(clip.title or clip.video_name)}  {_interval(clip)}"
        console.print(f"{place}. {what}  {clip.url or ''}", markup=False, soft_wrap=True)
        console.print(f"   {printable(clip.caption)}", markup=False, soft_wrap=True, style="dim")
        try:
            frames = clip.clip.frames(FRAMES_SHOWN) if options.output and clip.clip else None
        except (OSError, ValueError, VideoDecodeError):
            frames = None
        pictures.append((f"{what}\n{printable(clip.caption)}", frames))
    about = read_index(options.index)
    warn(console, overlap_notice(encoder.model, about["trained_on_videos"]))
    warn(console, _lacking(options, level, about.get("num_clips_without_embedding", 0)) if built else None)
    if options.output:
        draw_contact_sheet(printable(options.text), pictures, options.output)
    status = _say_left_out(options, len(about["unreadable"]), Path(options.index) / "index.json")
    return status if built else 0


def _embed_options(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser, "holds surglavi_beta.db and videos", required=True)
    parser.add_argument("--output", required=True, metavar="FILE", help="new Parquet file")
    parser.add_argument("--level", choices=("task", "step", "phase"), help="(default: all)")
    add_model(parser, "surgclip-beta")
    add_captions(parser)
    _add_embedding(parser, known=False)


def _embed(options: argparse.Namespace) -> int:
    from ..evaluation import EmbeddingOptions, embed_captions
    from ..evaluation.clip_embeddings import unreadable_path
    from ..evaluation.launched import Processes

    if Path(options.output).exists():
        raise FileExistsError(f"{options.output} is there already; name a new file")
    encoder = load_model(options.model, options.revision)
    dataset = load_captions(options, options.level or "all", "train")
    number = embed_captions(encoder, None, dataset, options.output, options_of(EmbeddingOptions, options))
    if Processes().index:
        return 0
    Console().print(f"{options.output}: embeddings of the clips of {number:,} captions", markup=False, soft_wrap=True)
    path = unreadable_path(options.output)
    lacks = len(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else 0
    return _say_left_out(options, lacks, path)


def _add_embedding(parser: argparse.ArgumentParser, known: bool = True) -> None:
    from ..evaluation.clip_embeddings import EmbeddingOptions

    add_options(parser, EmbeddingOptions)
    if known:
        parser.add_argument(
            "--embeddings",
            metavar="FILE|hub:ID",
            help="take the clips' embeddings from a file of surglavi embed or a dataset on the Hub, and read no "
            "video; of hub:ID the captions, too, without --data-dir",
        )


def _embeddings(options: argparse.Namespace) -> "Embeddings | None":
    """What `--embeddings` names."""
    from ..data import Embeddings

    if not options.embeddings:
        if options.command == "retrieval" and not options.data_dir:
            raise ValueError("there are no captions; give --data-dir, or --embeddings hub:ID")
        return None
    if not options.data_dir and not options.embeddings.startswith("hub:"):
        raise ValueError("--embeddings FILE has no captions; give --data-dir, which holds surglavi_beta.db")
    return Embeddings.load(options.embeddings)


def _lacking(options: argparse.Namespace, level: str, number: int) -> str | None:
    return f"{level}: {number:,} clips have no embedding in {options.embeddings} and are left out" if number else None


def _add_split(parser: argparse.ArgumentParser, default: str | None) -> None:
    add_model(parser, "surgclip-beta")
    parser.add_argument("--level", choices=("task", "step", "phase"), help="(default: each; of an index: task)")
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default=default,
        help="(default: validation; of an index: train)",
    )
    add_captions(parser, validation_fraction=VALIDATION_FRACTION)


def add_captions(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    from ..data import CaptionOptions

    add_options(parser, CaptionOptions, ("available_only",), **defaults)


def _say_left_out(options: argparse.Namespace, number: int, *paths: Path) -> int:
    """Says where clips that could not be read are listed; returns the exit status."""
    if not number:
        return 0
    where = ", ".join(map(str, paths))
    message = f"surglavi {options.command}: {number:,} clips cannot be read and are left out; {where} lists them"
    Console(stderr=True).print(message, markup=False, highlight=False, soft_wrap=True)
    return 1


def selection(options: argparse.Namespace) -> dict[str, Any]:
    """Which captions the options choose, as reports have it."""
    from ..data import CaptionOptions

    if _captions_of_hub(options):
        return {"captions": f"as pushed to {options.embeddings}"}
    chosen = asdict(options_of(CaptionOptions, options))
    return {name: value for name, value in chosen.items() if name not in ("video_dir", "available_only")}


def load_captions(options: argparse.Namespace, level: str, split: str) -> Any:
    from datasets import load_dataset

    from ..data import CaptionOptions

    # Where the embeddings are known no video is needed.
    captions = options_of(CaptionOptions, options, available_only=not getattr(options, "embeddings", None))
    if _captions_of_hub(options):
        dataset = _load_of_hub(options, captions, level, split)
    else:
        if split != "train" and not getattr(captions, f"{split}_fraction"):
            raise ValueError(f"--split {split} has no videos; give --{split}-fraction, such as 0.05")
        dataset = load_dataset("surglavi", level, data_dir=options.data_dir, split=split, **captions.chosen())
    if not len(dataset):
        there = " whose video is on disk" if captions.available_only else ""
        others = "" if split == "train" else f", --{split}-fraction"
        raise ValueError(f"split {split} has no captions of level {level}{there}; choose another --split{others}")
    return dataset


def _load_of_hub(options: argparse.Namespace, captions: "CaptionOptions", level: str, split: str) -> Any:
    from datasets import get_dataset_split_names, load_dataset

    unasked = {"validation_fraction": VALIDATION_FRACTION}
    if ignored := [name for name, value in captions.chosen().items() if unasked.get(name) != value]:
        raise ValueError(
            f"captions of {options.embeddings} are as they were pushed; leave --{ignored[0].replace('_', '-')} out, "
            "or give --data-dir"
        )
    name = options.embeddings.removeprefix("hub:")
    if split not in (splits := get_dataset_split_names(name, level)):
        raise ValueError(f"{options.embeddings} has no split {split} of level {level}; give --split {splits[0]}")
    return load_dataset(name, level, split=split)


def _captions_of_hub(options: argparse.Namespace) -> bool:
    return not options.data_dir and (getattr(options, "embeddings", None) or "").startswith("hub:")


def _interval(clip: Any) -> str:
    return f"{_clock(clip.start_time)}–{_clock(clip.end_time)}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
