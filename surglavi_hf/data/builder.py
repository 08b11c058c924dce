# SPDX-License-Identifier: Apache-2.0
"""The datasets builder: `load_dataset("surglavi", level, data_dir=DIR)`."""

import hashlib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import datasets
import pyarrow as pa
from datasets.builder import Key

from .clips import VideoClip
from .database import Level, open_database, read_captions


@dataclass
class SurgLaViConfig(datasets.BuilderConfig):
    """
    BuilderConfig for SurgLaVi.

    Args:
        filter_pairs: Keep only captions marked both descriptive and surgical.
        enhanced_captions: `caption` is the enriched caption (the raw narration where there is none) rather than the
            raw narration.
        min_duration: Shortest clip in seconds, excluded.
        max_duration: Longest clip in seconds, included.
        validation_fraction: Share of the videos that make the split `validation`; 0 for no such split.
        test_fraction: Share of the videos that make the split `test`; 0 for no such split.
    """

    filter_pairs: bool = True
    enhanced_captions: bool = True
    min_duration: float = 0.0
    max_duration: float = 500.0
    validation_fraction: float = 0.0
    test_fraction: float = 0.0

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        """An option given at its default is no other dataset: both share one cache."""
        defaults = {item.name: item.default for item in fields(self)}
        changed = {
            name: value
            for name, value in config_kwargs.items()
            if name not in SurgLaViConfig.__annotations__ or value != defaults[name]
        }
        return super().create_config_id(changed, custom_features=custom_features)

    def validate(self) -> None:
        """Raises ValueError where an option is out of range. datasets sets options after construction."""
        if not 0 <= self.min_duration < self.max_duration:
            raise ValueError(
                f"min_duration={self.min_duration} and max_duration={self.max_duration}, expected seconds with "
                "0 <= min_duration < max_duration"
            )
        held_out = self.validation_fraction + self.test_fraction
        if min(self.validation_fraction, self.test_fraction) < 0 or held_out >= 1:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} and test_fraction={self.test_fraction}, expected "
                "fractions >= 0 that leave something to train on (sum < 1)"
            )


@cache  # asked for every caption of a video
def split_position(youtube_id: str) -> float:
    """
    Returns a video's fixed place in [0, 1), from a hash of its YouTube id: `test` takes the lowest places, then
    `validation`, `train` the rest. It does not depend on which other videos there are.
    """
    return int.from_bytes(hashlib.sha256(youtube_id.encode()).digest()[:8], "big") / 2**64


class SurgLaVi(datasets.ArrowBasedBuilder):
    """
    Clip-caption pairs of SurgLaVi from its SQLite database.

    Configs: `task`, `step`, `phase`, and `all` (the default). A row has `caption_id`, `video_id`, `youtube_id`,
    `video_name`, `level` (ClassLabel task / step / phase), `start_time`, `end_time` and `duration` (s), `caption`,
    `title`, `procedure_type` and `clip`, a lazy [`VideoClip`].
    """

    BUILDER_CONFIG_CLASS = SurgLaViConfig
    BUILDER_CONFIGS = [SurgLaViConfig(name=name) for name in ("all", *(level.name.lower() for level in Level))]
    DEFAULT_CONFIG_NAME = "all"

    def _info(self) -> datasets.DatasetInfo:
        self.config.validate()
        value = datasets.Value
        features = {
            "caption_id": value("int64"),
            "video_id": value("int64"),
            "youtube_id": value("string"),
            "video_name": value("string"),
            "level": datasets.ClassLabel(names=[level.name.lower() for level in Level]),
            "start_time": value("float64"),
            "end_time": value("float64"),
            "duration": value("float64"),
            "caption": value("string"),
            "title": value("string"),
            "procedure_type": value("string"),
            "clip": VideoClip(video_dir=str(self._video_dir)),
        }
        return datasets.DatasetInfo(
            description="SurgLaVi: surgical clips and captions at three nested levels.",
            homepage="https://huggingface.co/datasets/aleperez24/SurgLaVi",
            license="CC BY-NC-SA 4.0",
            features=datasets.Features(features),
        )

    @property
    def _database(self) -> Path:
        return Path(self.config.data_files["train"][0])

    @property
    def _video_dir(self) -> Path:
        return Path(self.config.data_dir).expanduser().resolve() if self.config.data_dir else self._database.parent

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        open_database(self._database).close()  # a broken database is an error here, not a failure of generation
        test_end = self.config.test_fraction
        validation_end = test_end + self.config.validation_fraction
        bounds = {"train": (validation_end, 1.0), "validation": (test_end, validation_end), "test": (0.0, test_end)}
        return [
            datasets.SplitGenerator(name=name, gen_kwargs={"low": low, "high": high})
            for name, (low, high) in bounds.items()
            if low < high
        ]

    def _generate_tables(self, low: float, high: float):
        config = self.config
        batches = read_captions(
            self._database,
            level=None if config.name == "all" else Level[config.name.upper()],
            filter_pairs=config.filter_pairs,
            enhanced_captions=config.enhanced_captions,
            min_duration=config.min_duration,
            max_duration=config.max_duration,
        )
        schema = self.info.features.arrow_schema
        for index, columns in enumerate(batches):
            columns["level"] = [level_id - 1 for level_id in columns.pop("level_id")]
            columns["clip"] = [
                {"video_name": name, "start_time": start, "end_time": end}
                for name, start, end in zip(
                    columns["video_name"], columns["start_time"], columns["end_time"], strict=True
                )
            ]
            table = pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema=schema)
            inside = [
                low <= split_position(youtube_id or video_name) < high
                for youtube_id, video_name in zip(columns["youtube_id"], columns["video_name"], strict=True)
            ]
            yield Key(0, index), table.filter(pa.array(inside, pa.bool_()))
