# SPDX-License-Identifier: Apache-2.0
"""Which videos belong to which split."""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc


def split_position(youtube_id: str) -> float:
    """
    Returns a video's fixed place in [0, 1), from a hash of its YouTube id: `test` takes the lowest places, then
    `validation`, `train` the rest. It does not depend on which other videos there are.
    """
    return int.from_bytes(hashlib.sha256(youtube_id.encode()).digest()[:8], "big") / 2**64


def in_split(videos: pa.Table, low: float, high: float) -> pa.ChunkedArray:
    """
    Returns which videos have their place in `[low, high)`. All that share a YouTube id fall together; a video without
    one goes by its name.
    """
    no_id = pc.fill_null(pc.equal(videos["youtube_id"], ""), True)
    key = pc.fill_null(pc.if_else(no_id, videos["name"], videos["youtube_id"]), "")
    inside = [text for text in key.unique().to_pylist() if low <= split_position(text) < high]
    return pc.is_in(key, pa.array(inside, pa.string()))
