# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from surglavi_hf.evaluation.video_store import VideoResult, VideoStore

ROWS = {"time": [0.0, 1.0], "frame": [1, 2], "label": [0, 1]}


def test_round_trip(tmp_path):
    store = VideoStore(tmp_path / "scores", "key")
    scores = np.array([[0.1, 0.2, 0.3], [1, 2, 3]], np.float32)
    assert store.read("v", 2) is None
    store.write("v", ROWS, VideoResult({"scores": scores, "other": scores[:, :1]}, 1.25))
    read = store.read("v", 2)
    assert (
        np.array_equal(read.arrays["scores"], scores)
        and read.arrays["other"].tolist() == scores[:, :1].tolist()
        and read.seconds == 1.25
    )
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["v.arrow"]
    store.write("empty", {name: [] for name in ROWS}, VideoResult({"scores": np.zeros((0, 3), np.float32)}, 0.0))
    assert store.read("empty", 0).arrays["scores"].shape == (0, 3)


def test_what_is_refused(tmp_path):
    store = VideoStore(tmp_path, "key")
    store.write("v", ROWS, VideoResult({"scores": np.zeros((2, 3), np.float32)}, 0.0))
    with pytest.raises(ValueError, match=r"v\.arrow is of another evaluation"):
        VideoStore(tmp_path, "other").read("v", 2)
    with pytest.raises(ValueError, match=r"v\.arrow is of another evaluation"):
        store.read("v", 3)
    (tmp_path / "v.arrow").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"v\.arrow cannot be read .*; delete it"):
        store.read("v", 2)
    store.write("v", ROWS, VideoResult({"scores": np.zeros((2, 3), np.float32)}, 0.0))
    (tmp_path / "v.arrow").rename(tmp_path / "w.arrow")
    with pytest.raises(ValueError, match=r"w\.arrow is of the video 'v'; delete it"):
        store.read("w", 2)
    with pytest.raises(ValueError, match=r"'\.\./v' cannot be a file name"):
        store.read("../v", 2)


def test_no_damage_passes_for_scores(tmp_path):
    """Of 1,000 flipped bits each is an error that names the file, or changes nothing that is read."""
    store, generator = VideoStore(tmp_path, "key"), np.random.default_rng(0)
    arrays = {"scores": generator.normal(size=(20, 7)).astype(np.float32), "raw": np.ones((20, 3), np.float32)}
    rows = {"time": [float(i) for i in range(20)], "frame": list(range(20)), "label": [[0, 1]] * 20}
    store.write("v", rows, VideoResult(arrays, 1.5))
    path, refused = tmp_path / "v.arrow", 0
    whole = path.read_bytes()
    for bit in generator.choice(8 * len(whole), 1000, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            read = store.read("v", 20)
        except ValueError as error:
            assert "v.arrow cannot be read" in str(error) and str(error).endswith("; delete it")
            assert "\n" not in str(error)
            refused += 1
        else:
            assert read.seconds == 1.5 and read.arrays.keys() == arrays.keys()
            assert all(np.array_equal(read.arrays[name], values) for name, values in arrays.items())
    assert refused > 500
