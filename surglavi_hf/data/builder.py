# SPDX-License-Identifier: Apache-2.0
"""The datasets builder: `load_dataset("surglavi", level, data_dir=DIR)`."""

import hashlib
import logging
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import datasets
import pyarrow as pa

from ..media import VideoLibrary
from .caption_options import CaptionOptions
from .clip_feature import VideoClip
from .corpus_info import read_corpus_info
from .database import LEVEL_NAMES, VIDEO_COLUMNS, Level, open_database, read_videos
from .splits import shard_edges
from .tables import caption_tables, transcription_tables, video_tables

logger = logging.getLogger(__name__)

LEVELS = [level.name.lower() for level in Level]
_TABLES = {"videos": video_tables, "transcriptions": transcription_tables}
CONFIGS = ("all", *LEVELS, *_TABLES)
# The cache is keyed by the code that fills it.
_CODE = (
    "../media/identity",
    "../media/library",
    "builder",
    "caption_options",
    "clip_feature",
    "clips",
    "corpus_info",
    "database",
    "hierarchy",
    "splits",
    "tables",
    "validation",
)
_CAPTION_OPTIONS = ("filter_pairs", "enhanced_captions", "min_duration", "max_duration", "deduplicate")


def code_hash() -> str:
    """Returns a digest of the code that makes the rows."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / f"{name}.py").read_bytes() for name in _CODE)).hexdigest()


@dataclass
class SurgLaViConfig(CaptionOptions, datasets.BuilderConfig):
    """BuilderConfig for SurgLaVi; its options are those of [`CaptionOptions`]."""

    @property
    def database(self) -> Path:
        """The one file this config reads."""
        return Path(self.data_files["train"][0])

    @property
    def library(self) -> VideoLibrary:
        """Where the videos are: in `video_dir`, beside the database where it is not given."""
        return VideoLibrary(Path(self.video_dir or self.database.parent).expanduser().resolve())

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """
        Names the cache by what the rows depend on: an option given at its default is no other dataset, another set of
        videos is one where rows are chosen by it.
        """
        self.validate()
        changed = {name: value for name, value in config_kwargs.items() if not self._is_default(name)}
        if self.video_dir:
            changed["video_dir"] = str(self.library.root)
        if self.available_only:
            changed["available"] = hashlib.sha256("/".join(self.library.video_names()).encode()).hexdigest()
        if self.name == "transcriptions":
            changed["transcriptions"] = self.library.transcriptions_changed_at()
        return super().create_config_id(changed, custom_features=custom_features)

    def validate(self) -> None:
        """Raises ValueError where an option is out of range. datasets sets options after construction."""
        self.check()
        given = [name for name in _CAPTION_OPTIONS if not self._is_default(name)]
        if given and self.name in _TABLES:
            raise ValueError(f"{', '.join(given)} chooses captions; config {self.name!r} has none, leave it out")

    def _is_default(self, name: str) -> bool:
        return name in _OPTIONS and getattr(self, name) == getattr(SurgLaViConfig, name)


_OPTIONS = [item.name for item in fields(CaptionOptions)]


class SurgLaVi(datasets.ArrowBasedBuilder):
    """
    SurgLaVi from its SQLite database. A value that is missing, or of another type than its column's, is null.

    Configs `task`, `step`, `phase` (or `fine`, `mid`, `coarse`) and `all`, the default, hold clip-caption pairs:

    - `caption_id` (int64): number of the caption in the database.
    - `parent_caption_id` (int64): the step a task lies in, the phase a step lies in, whichever level and filters were
      chosen: that of the same video with the largest overlap, at least half of the child; null where there is none.
    - `video_id` (int64), `youtube_id` (string), `video_name` (string): number, YouTube id (out of its address where
      that holds it) and file name of the video.
    - `level` (ClassLabel): task, step or phase.
    - `start_time`, `end_time` (float64): interval in the video, in seconds, the end excluded.
    - `duration` (float64): of the interval, in seconds, as the database has it; filters use it.
    - `caption` (string): the text to learn from.
    - `raw_narration` (string): what the surgeon said, transcribed.
    - `is_enhanced` (bool): whether `caption` is the enriched caption rather than the narration.
    - `is_surgical_content`, `is_descriptive` (bool): verdicts of the dataset's two filters.
    - `title`, `procedure_type`, `procedure_modality`, `specialty`, `subject` (string): of the video.
    - `fps` (float64): frames per second of the video as published; `width`, `height` (int64): its size in pixels.
    - `clip` ([`VideoClip`]): the lazy [`Clip`].

    Config `videos` holds a row for every video, those without narration included, with the columns of the table:
    `video_id`, `title`, `name`, `url`, `runtime` (text), `year`, `fps`, `duration` (s), `frame_count`, `width`,
    `height` (pixels), `youtube_id`, `description`, `procedure_modality`, `procedure_type`, `specialty`, `subject`,
    `total_caption_count`.

    Config `transcriptions` holds `transcription_id`, `video_id`, `youtube_id`, `video_name`, `file_path` (as the
    database has it), `file` (path of that file under `transcriptions/`, null where it is not there) and `text`.
    """

    BUILDER_CONFIG_CLASS = SurgLaViConfig
    BUILDER_CONFIGS = [SurgLaViConfig(name=name) for name in CONFIGS]
    DEFAULT_CONFIG_NAME = "all"

    def __init__(self, *args, config_name: str | None = None, **kwargs):
        if config_name in LEVEL_NAMES:
            config_name = LEVEL_NAMES[config_name].name.lower()
        super().__init__(*args, config_name=config_name, **kwargs)

    def _create_builder_config(self, config_name=None, custom_features=None, **options):
        # datasets prints the whole config before the name of the option.
        known = {option.name for option in fields(SurgLaViConfig)} | {"config_id"}
        if unknown := sorted(options.keys() - known):
            raise ValueError(f"surglavi has no option {', '.join(unknown)}; it has {', '.join(_OPTIONS)}")
        return super()._create_builder_config(config_name, custom_features, **options)

    def _info(self) -> datasets.DatasetInfo:
        corpus = read_corpus_info(self.config.database)
        what = "SurgLaVi" if corpus is None else corpus.title
        return datasets.DatasetInfo(
            description=f"{what}: surgical clips and captions at three nested levels. `import surglavi_hf` before "
            "load_dataset or load_from_disk makes their clips readable.",
            homepage="https://huggingface.co/datasets/aleperez24/SurgLaVi" if corpus is None else "",
            license="CC BY-NC-SA 4.0" if corpus is None else corpus.license or "",
            features=self._features(),
        )

    def _features(self) -> datasets.Features:
        integer, number, text, flag = (datasets.Value(name) for name in ("int64", "float64", "string", "bool"))
        if self.config.name == "videos":
            return datasets.Features.from_arrow_schema(pa.schema(VIDEO_COLUMNS))
        if self.config.name == "transcriptions":
            names = ("youtube_id", "video_name", "file_path", "file", "text")
            return datasets.Features({"transcription_id": integer, "video_id": integer} | dict.fromkeys(names, text))
        return datasets.Features(
            {
                **dict.fromkeys(("caption_id", "parent_caption_id", "video_id"), integer),
                **dict.fromkeys(("youtube_id", "video_name"), text),
                "level": datasets.ClassLabel(names=LEVELS),
                **dict.fromkeys(("start_time", "end_time", "duration"), number),
                **dict.fromkeys(("caption", "raw_narration"), text),
                **dict.fromkeys(("is_enhanced", "is_surgical_content", "is_descriptive"), flag),
                **dict.fromkeys(("title", "procedure_type", "procedure_modality", "specialty", "subject"), text),
                "fps": number,
                **dict.fromkeys(("width", "height"), integer),
                "clip": VideoClip(video_dir=str(self.config.library.root)),
            }
        )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        with open_database(self.config.database) as connection:  # broken, it is an error here, not of generation
            videos = read_videos(connection) if dl_manager.is_streaming else None
        test_end = self.config.test_fraction
        validation_end = test_end + self.config.validation_fraction
        bounds = {"train": (validation_end, 1.0), "validation": (test_end, validation_end), "test": (0.0, test_end)}
        generators = []
        for name, (low, high) in bounds.items():
            if low < high:
                edges = shard_edges(videos, low, high) if dl_manager.is_streaming else [low, high]
                # datasets makes a shard of each element of lists.
                shards = {"low": edges[:-1], "high": edges[1:], "interleaved": dl_manager.is_streaming}
                generators.append(datasets.SplitGenerator(name=name, gen_kwargs=shards))
        return generators

    def _generate_tables(self, low: list[float], high: list[float], interleaved: bool):
        tables = _TABLES.get(self.config.name, partial(caption_tables, interleaved=interleaved))
        schema = self.info.features.arrow_schema
        for shard in zip(low, high, strict=True):
            for index, table in enumerate(tables(self.config, *shard)):
                yield index, table.select(schema.names).cast(schema)

    def _as_dataset(self, split=datasets.Split.TRAIN, in_memory: bool = False) -> datasets.Dataset:
        # datasets calls a split without rows an error. No video on disk, say, is a fact.
        if str(split) not in self.info.splits or self.info.splits[str(split)].num_examples:
            return super()._as_dataset(split, in_memory)
        logger.warning(
            "split %s of %s, %s, has no rows with these options", split, self.config.database, self.config.name
        )
        table = self.info.features.arrow_schema.empty_table()
        return datasets.Dataset(
            datasets.table.InMemoryTable(table),
            info=self.info,
            split=datasets.NamedSplit(str(split)),
            fingerprint=self._get_dataset_fingerprint(split),
        )
