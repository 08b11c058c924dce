# SPDX-License-Identifier: Apache-2.0
"""The captions of a video as a tree: phases, their steps, their tasks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import IterableDataset, load_dataset

from ..media.identity import video_identity
from .splits import video_identities


@dataclass
class CaptionNode:
    """A caption, a row of config `all` without its clip, and the captions that lie in it, in order of time."""

    row: dict[str, Any]
    children: list["CaptionNode"] = field(default_factory=list)


def caption_trees(video: str, data_dir: str | Path | None = None) -> list[list[CaptionNode]]:
    """
    Returns for each video called `video` its captions without a parent, in order of time. More than one row of the
    database can be of one video. No filter applies.

    Args:
        video: Its name, YouTube id, address, or number in the database.
        data_dir: The folder that holds the database; by default as `load_dataset("surglavi")`.

    Raises:
        ValueError: no caption belongs to such a video.
        FileNotFoundError, OSError: there is no database, or it cannot be read.
    """
    video.encode()  # an argument that is not UTF-8 is a ValueError
    data_dir = data_dir and str(data_dir)
    everything = {"filter_pairs": False, "max_duration": float("inf")}
    dataset = load_dataset("surglavi", "all", data_dir=data_dir, split="train", streaming=True, **everything)
    videos = load_dataset("surglavi", "videos", data_dir=data_dir, split="train", streaming=True)
    wanted = pa.array(_numbers_of(video, videos), pa.int64())
    nodes = {}
    for table in dataset.with_format("arrow").iter(batch_size=1000):
        table = table.drop_columns("clip")
        nodes |= {
            row["caption_id"]: CaptionNode(row)
            for row in table.filter(pc.is_in(table["video_id"], wanted)).to_pylist()
        }
    if not nodes:
        raise ValueError(f"no caption of a video {video!r}, expected its name, YouTube id, address or video_id")
    trees = {}
    for node in sorted(nodes.values(), key=_order):
        parent = nodes.get(node.row["parent_caption_id"])
        (parent.children if parent else trees.setdefault(node.row["video_id"], [])).append(node)
    return list(trees.values())


def _order(node: CaptionNode) -> tuple:
    return node.row["start_time"], -node.row["end_time"], node.row["caption_id"]


def _numbers_of(video: str, videos: IterableDataset) -> list[int]:
    """Returns the `video_id` of all rows of config `videos` that are of the video."""
    identity, numbers = video_identity(video, None, None), []
    for table in videos.with_format("arrow").iter(batch_size=1000):
        rows = zip(
            table["video_id"].to_pylist(), table["name"].to_pylist(), video_identities(table).to_pylist(), strict=True
        )
        numbers += [number for number, name, found in rows if video in (name, str(number)) or identity == found]
    return numbers
