# SPDX-License-Identifier: Apache-2.0
"""Which videos belong to which split."""

import hashlib
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..media.identity import video_identity

_MAX_SHARDS = 16


def split_position(identity: str) -> float:
    """
    Returns a video's fixed place in [0, 1), from a hash of its identity, which is its YouTube id where it has one:
    `test` takes the lowest places, then `validation`, `train` the rest. It does not depend on which other videos there
    are.
    """
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64


def video_identities(rows: pa.Table) -> pa.StringArray:
    """Returns [`video_identity`] of each row of a config, from those of its columns that the config has."""
    columns = []
    for names in (("youtube_id",), ("url",), ("video_name", "name")):
        found = next((name for name in names if name in rows.column_names), None)
        columns.append(rows[found].to_pylist() if found else [None] * rows.num_rows)
    written = list(zip(*columns, strict=True))
    identities = {video: video_identity(*video) for video in set(written)}
    return pa.array([identities[video] for video in written], pa.string())


def in_split(videos: pa.Table, low: float, high: float) -> pa.BooleanArray:
    """Returns which videos have their place in `[low, high)`. All rows of one video fall together."""
    identities = video_identities(videos)
    inside = [identity for identity in identities.unique().to_pylist() if low <= split_position(identity) < high]
    return pc.is_in(identities, pa.array(inside, pa.string()))


def shard_edges(videos: pa.Table, low: float, high: float) -> list[float]:
    """
    Returns the bounds of the shards of a split, ascending: equal parts of `[low, high)`. More serve more workers; of
    fewer, `shuffle` mixes more videos, because it reads ten at a time. A thousand videos make ten, four thousand 16.
    """
    num_videos = len(video_identities(videos.filter(in_split(videos, low, high))).unique())
    num_shards = min(_MAX_SHARDS, max(1, math.ceil(num_videos ** (1 / 3))))
    return np.linspace(low, high, num_shards + 1).tolist()
