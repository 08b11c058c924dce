# SPDX-License-Identifier: Apache-2.0
"""The annotated corpus as a database of SurgLaVi's schema: everything else then works on it."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..data import CorpusInfo, Level
from ..data.corpus_info import INFO_NAME
from ..data.database import VIDEO_COLUMNS, open_database, read_captions
from ..data.write_database import NewCaption, NewVideo, write_database
from ..files import digest
from .corpus import PIPELINE_VERSION, AnnotatedCorpus
from .identifiers import find_identifiers
from .results import AnnotatedClip, AnnotatedVideo, Results
from .transcripts import EXPORTED, read_transcript, write_transcript

NOT_CHECKED = (
    "faces and other people in the pictures",
    "names and dates that are written in the pictures",
    "names, dates and numbers in the narration that rules do not find",
    "whether captions are medically right",
)


@dataclass
class Exported:
    """
    Args:
        database: That was written.
        captions: Numbers by level.
        kept: Of these, with both flags 1.
        videos: In it; of these `narrated` with captions.
        unfinished: Questions that have no answer yet, by stage: what they are about is not there.
        not_judged: Captions without flags.
    """

    database: Path
    captions: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    videos: int = 0
    narrated: int = 0
    unfinished: Counter[str] = field(default_factory=Counter)
    not_judged: int = 0


def export_corpus(corpus: AnnotatedCorpus, output: str | os.PathLike | None = None) -> Exported:
    """
    Writes what was found as a database, with the tables `provenance` and `annotation` beside SurgLaVi's, and the
    transcripts beside it. The same answers give the same bytes.

    Args:
        corpus: Opened to write.
        output: A new database, `NAME.db`; by default that of the corpus, where it has no captions but those that this
            wrote, and nobody changed.

    Raises:
        FileExistsError: the database has other captions, or more than there would be while answers are missing; or
            `output` is there.
        FileNotFoundError: there is no folder for `output`.
        ValueError: nothing was segmented, or `output` does not end in .db.
    """
    results = Results(corpus)
    if results.settings["segment"] is None:
        raise ValueError(f"nothing to export of {corpus.database.parent}; run surglavi annotate segment first")
    path = _path(corpus, output)
    exported, videos, summary = Exported(path), [], _Summary(results)
    own = {id(row) for row in corpus.rows}
    for row in tqdm(corpus.all_rows, desc="exporting", unit=" video", dynamic_ncols=True, delay=2):
        exported.videos += 1
        if id(row) not in own:  # nothing can be known of it
            videos.append(NewVideo(_columns(row), []))
            continue
        video = results.video(row)
        summary.add(video)
        videos.append(_video(results, video, path.parent, path == corpus.database))
        exported.narrated += bool(video.clips)
        exported.unfinished.update(video.unfinished)
        for clip in video.clips:
            exported.captions[clip.level.name.lower()] += 1
            exported.kept[clip.level.name.lower()] += clip.is_kept
            exported.not_judged += clip.is_surgical is None or clip.is_descriptive is None
    if exported.unfinished:
        _refuse_a_loss(path, sum(exported.captions.values()), sum(exported.unfinished.values()))
    if not (path.parent / INFO_NAME).is_file():  # a corpus of its own, whatever it was made of
        title = f"{path.parent.name}, annotated"
        CorpusInfo(title, "Clips and captions out of the narration of videos, by surglavi_hf.").write(path.parent)
    write_database(path, videos, json.dumps(summary.to_dict(), ensure_ascii=False, sort_keys=True))
    corpus.ledger.set_settings(f"export {digest(path)}", {})
    return exported


def _path(corpus: AnnotatedCorpus, output: str | os.PathLike | None) -> Path:
    path = corpus.database if output is None else Path(os.path.expanduser(output)).absolute()
    if path.suffix != ".db":
        raise ValueError(f"--output {path}, expected a file that ends in .db")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} to write {path.name} to; make it, or name another file")
    if not path.exists():
        return path
    if corpus.ledger.settings(f"export {digest(path)}") is not None:  # wherever the folder was then
        return path
    if path == corpus.database:
        with open_database(path) as connection:
            number = read_captions(connection).num_rows
        if not number:
            return path
        raise FileExistsError(
            f"{path} has {number:,} captions that this export did not write, or that were changed since; name a new "
            "file with --output NEW.db"
        )
    raise FileExistsError(f"{path} is there already; name a new file with --output")


def _refuse_a_loss(path: Path, number: int, unfinished: int) -> None:
    """Raises FileExistsError where an earlier export has more, since answers are missing now."""
    if not path.exists():
        return
    with open_database(path) as connection:
        before = read_captions(connection).num_rows
    if before > number:
        raise FileExistsError(
            f"{path} has {before:,} captions, and this export would have {number:,}, since {unfinished:,} questions "
            "have no answer yet; run the stages first, or name a new file with --output NEW.db"
        )


def _video(results: Results, video: AnnotatedVideo, folder: Path, own: bool) -> NewVideo:
    captions = [
        NewCaption(
            level=clip.level,
            start=clip.start,
            end=clip.end,
            caption=clip.caption,
            narration=clip.text,
            is_surgical=_flag(clip.is_surgical),
            is_descriptive=_flag(clip.is_descriptive),
            provenance=_provenance(results, video, clip),
        )
        for clip in video.clips
    ]
    return NewVideo(_columns(video.row), captions, _transcription(video, folder, own))


def _columns(row: Mapping[str, Any]) -> dict[str, Any]:
    columns = {name: row[name] for name in VIDEO_COLUMNS if name != "total_caption_count"}
    return columns


def _transcription(video: AnnotatedVideo, folder: Path, own: bool) -> tuple[str, str] | None:
    """Writes the transcript, beside the corpus' `own` database also over an earlier one; its place and its text."""
    if video.transcript is None or not video.transcript.words:
        return None
    name = f"{video.name}{EXPORTED}"  # over a library's own transcription nothing is written
    path = folder / "transcriptions" / name
    path.parent.mkdir(exist_ok=True)
    if path.exists() and not _is_of(path, video, own):
        raise FileExistsError(f"{path} is another file than this export's; move it away, or export to a new folder")
    write_transcript(path, video.transcript)
    return f"transcriptions/{name}", video.transcript.text


def _is_of(path: Path, video: AnnotatedVideo, own: bool) -> bool:
    try:
        there = read_transcript(path)
    except ValueError:
        return False
    return there == video.transcript or (own and there.video == video.name)


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


def _provenance(results: Results, video: AnnotatedVideo, clip: AnnotatedClip) -> dict[str, Any]:
    transcript = video.transcript
    asked = {stage: settings for stage, settings in results.settings.items() if settings is not None}
    found: dict[str, Any] = {
        "title": clip.title,
        "confidence": clip.confidence and round(clip.confidence, 4),
        "pipeline_version": PIPELINE_VERSION,
    }
    if transcript is not None:
        found |= {
            "transcript_source": transcript.source,
            "transcript_model": transcript.model,
            "language": transcript.language,
            "translated": int(transcript.translated),
        }
    told = {"segment": True, "filter": clip.verdict is not None, "enrich": clip.caption is not None}
    for stage, settings in asked.items():
        if told[stage]:
            found |= {f"{stage}_model": settings.model_name, f"{stage}_prompt": settings.prompt.identity}
    if clip.verdict is not None:
        found["filter_reason"] = clip.verdict.reason
    if clip.view is not None and results.view is not None:
        endoscopic, surgical, _ = clip.view
        found |= {"view_model": results.view.model_name, "endoscopic": endoscopic, "surgical": surgical}
    if clip.caption is not None:
        found["ungrounded"] = json.dumps(clip.ungrounded, ensure_ascii=False)
    return found


class _Summary:
    """What an annotated corpus says of how it came about."""

    def __init__(self, results: Results):
        self.results = results
        self.sources: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.models: set[str] = set()
        self.translated = self.ungrounded = self.viewed = 0
        self.lost: dict[str, Counter[str]] = {stage: Counter() for stage in ("segment", "filter", "enrich")}
        self.captions = Counter({level.name.lower(): 0 for level in Level})
        self.kept = Counter(self.captions)
        self.identifiers: Counter[str] = Counter()

    def add(self, video: AnnotatedVideo) -> None:
        if (transcript := video.transcript) is not None and transcript.words:
            self.sources[transcript.source] += 1
            self.languages[transcript.language or "unknown"] += 1
            self.models |= {transcript.model} if transcript.model else set()
            self.translated += transcript.translated
            self.identifiers.update(one.kind for one in find_identifiers(video.sentences))
        if video.segmented is not None:
            for _, _, reason in video.segmented.lost:
                self.lost["segment"][reason.reason] += 1
        for clip in video.clips:
            self.captions[clip.level.name.lower()] += 1
            self.kept[clip.level.name.lower()] += clip.is_kept
            self.viewed += clip.seen is not None
            self.ungrounded += bool(clip.ungrounded)
            for stage, reason in (("filter", clip.unjudged), ("enrich", clip.uncaptioned)):
                if reason is not None:
                    self.lost[stage][reason.reason] += 1

    def to_dict(self) -> dict[str, Any]:
        stages = {
            stage: {
                "model": settings.model_name,
                "prompt": settings.prompt.identity,
                "left_out": dict(sorted(self.lost[stage].items())),
            }
            for stage, settings in self.results.settings.items()
            if settings is not None
        }
        view = self.results.view
        return {
            "pipeline_version": PIPELINE_VERSION,
            "transcription": {
                "sources": dict(sorted(self.sources.items())),
                "models": sorted(self.models),
                "languages": dict(sorted(self.languages.items())),
                "translated": self.translated,
            },
            "stages": stages,
            "visual": view
            and {
                "model": view.model_name,
                "endoscopic_threshold": view.endoscopic,
                "surgical_threshold": view.surgical,
                "clips": self.viewed,
            },
            "captions": dict(self.captions),
            "kept": dict(self.kept),
            "identifiers": dict(sorted(self.identifiers.items())),
            "ungrounded": self.ungrounded,
            "not_checked": list(NOT_CHECKED),
        }
