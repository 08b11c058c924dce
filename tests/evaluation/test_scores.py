# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from surglavi_hf.evaluation.scores import ScoreStore, VideoScores

ROWS = {"time": [0.0, 1.0], "frame": [1, 2], "label": [0, 1]}


def test_round_trip(tmp_path):
    store = ScoreStore(tmp_path / "scores", "key")
    scores = np.array([[0.1, 0.2, 0.3], [1, 2, 3]], np.float32)
    assert store.read("v", 2) is None
    store.write("v", ROWS, VideoScores(scores, 1.25))
    read = store.read("v", 2)
    assert np.array_equal(read.scores, scores) and read.scores.dtype == np.float32 and read.seconds == 1.25
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["v.parquet"]
    store.write("empty", {name: [] for name in ROWS}, VideoScores(np.zeros((0, 3), np.float32), 0.0))
    assert len(store.read("empty", 0).scores) == 0


def test_what_is_refused(tmp_path):
    store = ScoreStore(tmp_path, "key")
    store.write("v", ROWS, VideoScores(np.zeros((2, 3), np.float32), 0.0))
    with pytest.raises(ValueError, match=r"v\.parquet is of another evaluation"):
        ScoreStore(tmp_path, "other").read("v", 2)
    with pytest.raises(ValueError, match=r"v\.parquet is of another evaluation"):
        store.read("v", 3)
    (tmp_path / "v.parquet").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"v\.parquet cannot be read .*; delete it"):
        store.read("v", 2)
    with pytest.raises(ValueError, match=r"'\.\./v' cannot be a file name"):
        store.read("../v", 2)
