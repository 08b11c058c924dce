# SPDX-License-Identifier: Apache-2.0
"""The rows of a run: of a corpus, of a published dataset, or of any dataset with clips and captions."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, Features, Value, load_dataset, load_from_disk

from ..data import Level, VideoClip, attach_clips
from ..data.database import LEVEL_NAMES
from .config import TrainingConfig

logger = logging.getLogger(__name__)

_LEVELS = ClassLabel(names=[level.name.lower() for level in Level])
_TEXTS = ("string", "large_string")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")


def load_rows(config: TrainingConfig, split: str) -> Dataset:
    """
    Returns the rows of a split of `data_dir` or of `dataset_name` whose video is on disk, as [`rows_of`] does.

    Raises:
        FileNotFoundError: no video of the split is.
        ValueError: there is no such split, it has no clips, or the dataset has not the columns of clips.
    """
    if config.data_dir:
        where = f"{config.data_dir} ({split})"
        options = {**config.chosen(), "data_dir": config.data_dir}
        dataset = load_dataset("surglavi", config.level, split=split, **options)
        remedy = "change the fractions, level or filters"
    else:
        where, remedy = f"{config.dataset_name} ({split})", "name another config or level"
        dataset = attach_clips(_published(config, split), config.video_dir)
    return rows_of(dataset, where, config.level, remedy)


def _published(config: TrainingConfig, split: str) -> Dataset:
    """A split of a dataset of the Hub, or of a folder as `push-dataset` or `save_to_disk` leaves it."""
    name = config.dataset_name
    folder = Path(name)
    if any((folder / file).is_file() for file in ("dataset_dict.json", "state.json")):
        splits = load_from_disk(name)
        splits = {"train": splits} if isinstance(splits, Dataset) else splits
    else:
        splits = load_dataset(name, config.dataset_config_name, revision=config.dataset_revision)
    if split not in splits:
        raise ValueError(f"{name} has no split {split}; it has {', '.join(map(str, splits))}")
    return splits[split]


def rows_of(dataset: Any, where: str, level: str = "all", remedy: str = "give a dataset with rows") -> Dataset:
    """
    Returns the rows to train on, with the columns that training needs beside `clip` and `caption`: `caption_id`,
    `video_id`, `video_name`, `level`, `start_time` and `end_time` (s). Those that are missing are made: ids are
    numbers of rows and videos, all clips are of one level, and the rest is what the clips say. Rows whose video is
    not on disk are left out, with a warning.

    Args:
        dataset: Rows with a `clip`, a column of [`VideoClip`], and a `caption`.
        where: What errors call it.
        level: Rows of this level alone, or all.
        remedy: What to do where no row is left.

    Raises:
        FileNotFoundError: no video is on disk.
        ValueError: a column is missing, or holds something else.
    """
    if not isinstance(dataset, Dataset):
        raise ValueError(f"{where} is a {type(dataset).__name__}, expected a datasets.Dataset that is not streamed")
    if dataset.format["type"] == "custom":
        raise ValueError(f"{where} has a transform, which training would not apply; use map, or reset_format()")
    dataset = dataset.with_format(None)
    _check_columns(dataset, where)
    dataset = _with_level(dataset, where, level)
    if not len(dataset):
        raise ValueError(f"{where} has no clips; {remedy}")
    stored = _stored(dataset)
    if number := pc.sum(_without_clip_or_caption(stored)).as_py():
        raise ValueError(f"{where} has {number:,} of {len(dataset):,} rows without clip or caption; filter them out")
    return _on_disk(_with_columns(dataset, stored, where), where)


def _check_columns(dataset: Dataset, where: str) -> None:
    found = dataset.features
    if missing := [name for name in ("clip", "caption") if name not in found]:
        raise ValueError(
            f"{where} has no column {', '.join(missing)}; it has {', '.join(found)}; rename_column one, or add clips "
            "with surglavi_hf.data.attach_clips"
        )
    if not isinstance(found["clip"], VideoClip):
        raise ValueError(
            f"column clip of {where} is {found['clip']!r}, expected a VideoClip; name videos and times in it: "
            "{video_name, start_time, end_time}, and cast_column('clip', VideoClip(video_dir=DIR))"
        )
    if getattr(found["caption"], "dtype", None) not in _TEXTS:
        raise ValueError(f"column caption of {where} is {found['caption']!r}, expected text")


def _with_level(dataset: Dataset, where: str, level: str) -> Dataset:
    """The rows of a level, with levels as numbers."""
    feature = dataset.features.get("level")
    if feature is None:
        if level != "all":
            raise ValueError(f"level={level}, but {where} has no column level; leave level out")
        # add_column is for the end, once, with the others.
        return dataset
    if feature != _LEVELS:
        names = feature.names if isinstance(feature, ClassLabel) else None
        if names is None and getattr(feature, "dtype", None) not in _TEXTS:
            raise ValueError(f"column level of {where} is {feature!r}, expected names: {', '.join(_LEVELS.names)}")
        values = dataset["level"]
        words = [names[value] if names and value is not None else value for value in values]
        if unknown := sorted({str(word) for word in words if word not in LEVEL_NAMES}):
            raise ValueError(
                f"column level of {where} has {', '.join(unknown[:3])}, expected {', '.join(_LEVELS.names)}"
            )
        numbers = pa.array([LEVEL_NAMES[word] - 1 for word in words], pa.int64())
        dataset = dataset.remove_columns("level").add_column("level", numbers, feature=_LEVELS)
    if level == "all":
        return dataset
    numbers = dataset.with_format("arrow").select_columns(["level"])[:]["level"]
    return dataset.select(pc.indices_nonzero(pc.equal(numbers, _LEVELS.str2int(level))).to_pylist())


def _stored(dataset: Dataset) -> pa.Table:
    """What Arrow holds of the columns that say which clip and which caption."""
    names = ("clip", "caption", "caption_id", "video_id", "video_name", "start_time", "end_time", "level")
    return dataset.with_format("arrow").select_columns([name for name in names if name in dataset.features])[:]


def _without_clip_or_caption(stored: pa.Table) -> pa.Array:
    clips, captions = stored["clip"].combine_chunks(), stored["caption"].combine_chunks()
    lacks = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(captions), ""), True)
    for part in (clips, *clips.flatten()):
        lacks = pc.or_(lacks, pc.is_null(part))
    return lacks


def _with_columns(dataset: Dataset, stored: pa.Table, where: str) -> Dataset:
    """Adds what is missing, and puts right what does not say what the clips say: pixels are read by these."""
    clips = stored["clip"].combine_chunks()
    videos = clips.field("video_name").dictionary_encode()
    right = {name: clips.field(name) for name in ("video_name", "start_time", "end_time")}
    right["video_id"] = videos.indices.cast(pa.int64())
    right["caption_id"] = pa.array(range(len(dataset)), pa.int64())
    right["level"] = pa.nulls(len(dataset), pa.int64()).fill_null(0)
    kept = {"level"} | {"video_id", "caption_id"} & set(stored.column_names)
    if "video_id" in kept and not _one_to_one(stored["video_id"], clips.field("video_name")):
        kept.remove("video_id")  # as of two corpora in one dataset
    if "caption_id" in kept:
        _check_caption_ids(dataset, stored, where)
    for name, values in right.items():
        if name in dataset.features:
            if name in kept or stored[name].combine_chunks().cast(values.type).equals(values):
                continue
            dataset = dataset.remove_columns(name)
        feature = _LEVELS if name == "level" else Value(str(values.type))
        dataset = dataset.add_column(name, values, feature=feature)
    return dataset


def _one_to_one(ids: pa.ChunkedArray, names: pa.Array) -> bool:
    if ids.null_count:
        return False
    pairs = pa.table({"id": ids, "name": names}).group_by(["id", "name"]).aggregate([])
    return len(pairs) == len(pc.unique(pairs["id"])) == len(pc.unique(pairs["name"]))


def _check_caption_ids(dataset: Dataset, stored: pa.Table, where: str) -> None:
    """A row that comes twice is one caption; two captions of one id would be no negatives of one another."""
    feature = dataset.features["caption_id"]
    if getattr(feature, "dtype", None) not in _INTEGERS or stored["caption_id"].null_count:
        raise ValueError(f"column caption_id of {where} is {feature!r}, expected whole numbers, no nulls; remove it")
    clips = stored["clip"].combine_chunks()
    table = pa.table(
        {
            **{name: clips.field(name) for name in ("video_name", "start_time", "end_time")},
            **{name: stored[name] for name in ("caption", "caption_id")},
        }
    )
    distinct = table.group_by(table.column_names).aggregate([])
    counts = distinct.group_by("caption_id").aggregate([("caption", "count")])
    if len(counts) < len(distinct):
        number = counts.filter(pc.greater(counts["caption_count"], 1))["caption_id"][0]
        raise ValueError(f"caption_id {number} of {where} has two captions; remove_columns('caption_id') numbers anew")


def _on_disk(dataset: Dataset, where: str) -> Dataset:
    names = list(dataset["video_name"])
    clips = {name: dataset[row]["clip"] for name, row in dict(zip(names, range(len(names)), strict=True)).items()}
    missing = {name for name, clip in clips.items() if not clip.available}
    if len(missing) == len(clips):
        raise FileNotFoundError(
            f"none of the {len(clips)} videos of {where} is on disk, for example {next(iter(clips.values())).path}; "
            "download them to videos/"
        )
    if not missing:
        return dataset
    kept = [index for index, name in enumerate(names) if name not in missing]
    left_out = len(dataset) - len(kept)
    logger.warning("%d of %d clips left out: %d videos are not on disk", left_out, len(dataset), len(missing))
    return dataset.select(kept)


def fingerprint(dataset: Dataset) -> str:
    """Returns a hash of what is trained on: captions, their texts, videos and times, in order."""
    digest = hashlib.sha256()
    columns = {
        **{"caption_id": "int64", "video_name": "string", "level": "int64"},
        **{"start_time": "float64", "end_time": "float64", "caption": "string"},
    }
    features = Features({name: Value(dtype) for name, dtype in columns.items()})
    for batch in dataset.select_columns(list(columns)).with_format("arrow").iter(10_000):
        sink = pa.BufferOutputStream()
        table = batch.replace_schema_metadata().cast(features.arrow_schema.remove_metadata())
        with pa.ipc.new_stream(sink, table.schema) as writer:
            # Taken, it has no more than its rows: buffers of a slice are written with what lies around it.
            writer.write_table(table.take(pa.array(range(len(table)))).combine_chunks())
        digest.update(sink.getvalue())
    return digest.hexdigest()
