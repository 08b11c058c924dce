# SPDX-License-Identifier: Apache-2.0
"""The card of a dataset repository, with counts of what is pushed."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from datasets import DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from ..data import TAKEDOWN_NAME, CorpusInfo, Level, Takedown
from ..data.corpus_info import STAGES, AnnotationInfo
from ..data.embeddings import EMBEDDINGS, Embeddings
from .card_text import Card, inline, table, template
from .dataset_tables import SplitTables

COMPUTED = ("configs", "dataset_info", "license", "size_categories")
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}


def render_dataset_card(
    repo_id: str,
    parts: Sequence[SplitTables],
    takedown: Takedown,
    embeddings: Embeddings | None = None,
    corpus: CorpusInfo | None = None,
    annotation: AnnotationInfo | None = None,
) -> Card:
    """
    Returns the card of a dataset: its metadata (configs, features, sizes) and text, from the template
    `loading_script/README.md` of SurgLaVi, or `own_corpus.md` of another corpus.

    Args:
        repo_id: Where it is pushed to.
        parts: What is pushed.
        takedown: What was left out.
        embeddings: Published beside it.
        corpus: What it says of itself, where it is not SurgLaVi.
        annotation: How its captions came about, where the package made them.
    """
    videos = pa.concat_tables([part.dataset.data.table for part in parts if part.config == "videos"])
    narrated = pc.sum(pc.greater(videos["total_caption_count"], 0)).as_py() or 0
    values = {
        "repo_id": repo_id,
        "contents": template("contents.md").substitute(
            rows=table([[f"`{p.config}`", p.split, f"{len(p.dataset):,}", _row_of(p.config)] for p in parts]),
            levels=table([_level_row(level, parts) for level in reversed(Level)]),
        ),
        "columns": template("columns.md").template,
        "videos": f"{videos.num_rows:,}",
        "narrated": f"{narrated:,}",
        "taken_down": _taken_down(takedown),
        "embeddings": _embeddings_section(embeddings),
    }
    if corpus is None:
        card = Card.render("surglavi_hf.loading_script", "README.md", values)
    else:
        licence = f"Captions and metadata: {corpus.license}." if corpus.license else "The publisher has not said one."
        values |= {"title": inline(corpus.title), "description": inline(corpus.description), "licence": licence}
        values["annotation"] = _annotation_section(annotation)
        card = Card.render("surglavi_hf.loading_script", "own_corpus.md", values)
        card.data |= {"pretty_name": corpus.title, "license": corpus.license or "unknown"}
    data = DatasetCardData(**card.data)
    configs = list(dict.fromkeys(part.config for part in parts))
    MetadataConfigs({name: _data_files(name, parts) for name in configs}).to_dataset_card_data(data)
    DatasetInfosDict({name: _info(name, parts) for name in configs}).to_dataset_card_data(data)
    clips = sum(len(part.dataset) for part in parts if part.config == "all")
    size = next((name for limit, name in _SIZES.items() if clips < limit), "10M<n<100M")
    return Card(data.to_dict() | {"size_categories": [size]}, card.text)


def _row_of(config: str) -> str:
    rows = {
        "all": "a clip-caption pair of any level; the default",
        "videos": "a video, narrated or silent",
        "transcriptions": "the transcription of a video",
        EMBEDDINGS: "the embedding of a clip",
    }
    return rows.get(config, "a clip-caption pair of that level")


def _level_row(level: Level, parts: Sequence[SplitTables]) -> list[str]:
    tables = [part.dataset.data.table for part in parts if part.config == level.name.lower()]
    if not tables:
        return [level.name.lower(), "0", *["–"] * 5]
    rows = pa.concat_tables(tables)
    seconds = pc.subtract(rows["end_time"], rows["start_time"])
    words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(rows["caption"])))
    linked = 100 * pc.mean(rows["parent_caption_id"].is_valid()).as_py()
    return [
        level.name.lower(),
        f"{rows.num_rows:,}",
        f"{pc.count_distinct(rows['video_id']).as_py():,}",
        f"{pc.sum(seconds).as_py() / 3600:,.1f}",
        f"{pc.quantile(seconds, 0.5)[0].as_py():.1f}",
        f"{pc.quantile(words, 0.5)[0].as_py():.0f}",
        "–" if level == max(Level) else f"{linked:.0f} %",
    ]


def _taken_down(takedown: Takedown) -> str:
    return f" {len(takedown):,} entries of `{TAKEDOWN_NAME}` are left out." if len(takedown) else ""


def _embeddings_section(embeddings: Embeddings | None) -> str:
    if embeddings is None:
        return ""
    return (
        f"\n## Embeddings of clips\n\nConfig `{EMBEDDINGS}`: `caption_id`, `embedding` ({embeddings.dimension} × "
        f"float16), `model_id` and `model_revision`. They are what `{embeddings.model_id}` at revision "
        f"`{embeddings.model_revision}` gives for the clip of that caption.\n"
    )


def _annotation_section(annotation: AnnotationInfo | None) -> str:
    if annotation is None:
        return ""
    sections = {
        "pipeline_version": inline(annotation.pipeline_version),
        "stages": table(_stage_rows(annotation)),
        "transcripts": _transcripts(annotation),
        "levels": table(
            [
                [name, f"{annotation.captions[name]:,}", f"{annotation.kept[name]:,}"]
                for name in (level.name.lower() for level in reversed(Level))
            ]
        ),
        "checked": "\n".join(f"- {inline(line)}" for line in _checked(annotation)),
        "not_checked": "\n".join(f"- {inline(line)}" for line in annotation.not_checked),
    }
    return template("annotation.md").substitute(sections)


def _stage_rows(annotation: AnnotationInfo) -> list[list[str]]:
    heard = [f"{source} ({_count(videos, 'video')})" for source, videos in annotation.sources.items()]
    models = f"; {', '.join(map(_model, annotation.speech_models))}" if annotation.speech_models else ""
    rows = [["transcribe", f"{', '.join(heard) or 'nothing'}{models}", "–", "–"]]
    for stage in STAGES:
        if (one := annotation.stages.get(stage)) is None:
            rows.append([stage, "not run", "–", "–"])
        else:
            left_out = ", ".join(f"{reason}: {number:,}" for reason, number in one.left_out.items())
            rows.append([stage, _model(one.model), one.prompt, left_out or "none"])
        if stage == "filter" and (view := annotation.visual) is not None:
            limits = f"endoscopic ≥ {view.endoscopic_threshold:g}, surgical ≥ {view.surgical_threshold:g}"
            rows.append(["filter, by the picture", f"{_model(view.model)}, {_count(view.clips, 'clip')}", limits, "–"])
    return rows


def _transcripts(annotation: AnnotationInfo) -> str:
    languages = ", ".join(f"{name} ({_count(videos, 'video')})" for name, videos in annotation.languages.items())
    translated = f" {_count(annotation.translated, 'transcript')} translated." if annotation.translated else ""
    return inline(f"Languages of the transcripts: {languages or 'none'}.{translated}")


def _checked(annotation: AnnotationInfo) -> list[str]:
    kinds = ", ".join(f"{kind}: {number:,}" for kind, number in annotation.identifiers.items())
    return [
        f"likely identifiers of persons in the transcripts, by rules: {kinds or 'none found'}; they are counted, not "
        "removed",
        "names in the captions that neither title nor procedure nor narration has: in "
        f"{_count(annotation.ungrounded, 'caption')}",
        f"by people: {_count(annotation.reviewed, 'caption')}",
    ]


def _model(name: str) -> str:
    """Returns the name of a model, without the folders of the machine that it lay on."""
    is_local = name.startswith(("/", "~", ".")) or "\\" in name
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] if is_local else name


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _data_files(config: str, parts: Sequence[SplitTables]) -> dict:
    data_files = [{"split": p.split, "path": f"{config}/{p.split}-*"} for p in parts if p.config == config]
    return {"data_files": data_files} | ({"default": True} if config == "all" else {})


def _info(config: str, parts: Sequence[SplitTables]) -> DatasetInfo:
    ours = [part for part in parts if part.config == config]
    splits = SplitDict(dataset_name="surglavi")
    for part in ours:
        splits[part.split] = SplitInfo(
            part.split, part.dataset.data.nbytes, len(part.dataset), dataset_name="surglavi"
        )
    return DatasetInfo(
        features=ours[0].dataset.features,
        splits=splits,
        download_size=sum(path.stat().st_size for part in ours for path in part.files.values()),
        dataset_size=sum(part.dataset.data.nbytes for part in ours),
    )
