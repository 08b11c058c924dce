# SPDX-License-Identifier: Apache-2.0
"""Label Studio: a JSON export, with `TimelineLabels` (frames from 1, the last is in) or labels in seconds."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....files import reading
from ....media.identity import named_video
from ....options import option
from ....text_tables import read_text
from ..intervals import Interval, IntervalReader

_LABELS = ("timelinelabels", "labels", "videolabels")


@dataclass(frozen=True, kw_only=True)
class LabelStudio(IntervalReader):
    files: str = option("labels.json", "The export, below the root.")
    frames_per_second: float | None = option(None, "Of the videos, as the labelling interface has it: frameRate.")
    data_key: str = option("video", "Under which a task has its video.")

    def read_intervals(self, root: Path) -> Mapping[str, list[Interval]]:
        path = root / self.files
        if not path.is_file():
            raise self.missing(self.files, root)
        with reading(f"{path}", "expected Label Studio's export as JSON"):
            tasks = json.loads(read_text(path))
        if not isinstance(tasks, list) or not all(isinstance(task, Mapping) for task in tasks):
            raise ValueError(f"{path} is no list of tasks, expected Label Studio's export as JSON")
        on_disk = self._videos_on_disk(root)
        found: dict[str, list[Interval]] = {}
        for place, task in enumerate(tasks, start=1):
            where = f"{path}, task {task.get('id', place)}"
            video = self._video(task, where, on_disk)
            if video in found:
                raise ValueError(f"{where}: video {video!r} again, expected one task a video")
            intervals = [interval for region in _regions(task, where) for interval in self._intervals(region, where)]
            if intervals:
                found[video] = intervals
        return found

    def _video(self, task: Mapping, where: str, on_disk: set[str]) -> str:
        data = task.get("data", task)  # JSON_MIN has it beside the rest
        text = data.get(self.data_key) if isinstance(data, Mapping) else None
        if not isinstance(text, str) or not text:
            raise ValueError(f"{where}: no {self.data_key!r} in its data; give data_key")
        name = named_video(text.partition("?")[0])
        # Uploaded files get eight hexadecimal digits before their names.
        plain = re.sub(r"^[0-9a-f]{8}-", "", name)
        return name if name in on_disk or plain not in on_disk else plain

    def _intervals(self, region: Mapping, where: str) -> Iterator[Interval]:
        value = region.get("value", region)
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: {value!r} is no region")
        labels = next((value[name] for name in _LABELS if name in value), None)
        if labels is None:
            return  # a choice, a text or the like
        where += f", region {region['id']}" if "id" in region else ""
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ValueError(f"{where}: labels {labels!r}, expected a list of texts")
        for start, end in self._times(value, where):
            for label in labels:
                yield Interval(start, end, label, where)

    def _times(self, value: Mapping, where: str) -> list[tuple[float, float]]:
        try:
            if "ranges" not in value:
                return [(float(value["start"]), float(value["end"]))]
            ranges = [(int(item["start"]), int(item["end"])) for item in value["ranges"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{where}: {dict(value)!r}, expected ranges, or start and end in seconds") from error
        if self.frames_per_second is None or not self.frames_per_second > 0:
            raise ValueError(f"{where}: its times are numbers of frames; give frames_per_second")
        return [((start - 1) / self.frames_per_second, end / self.frames_per_second) for start, end in ranges]


def _regions(task: Mapping, where: str) -> list[Any]:
    if "annotations" not in task:  # JSON_MIN: regions are under the name of the control
        lists = [value for value in task.values() if isinstance(value, list)]
        return [region for regions in lists for region in regions if isinstance(region, Mapping)]
    try:
        annotations = [item for item in task["annotations"] if not item.get("was_cancelled")]
        if len(annotations) > 1:
            raise ValueError(f"{where}: {len(annotations)} annotations, expected one; keep one in Label Studio")
        return [region for item in annotations for region in item["result"]]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{where}: its annotations have no results; export it as JSON again") from error
