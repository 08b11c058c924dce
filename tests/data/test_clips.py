# SPDX-License-Identifier: Apache-2.0
import base64
import copy
import io
import pickle
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Value, concatenate_datasets, load_dataset, load_from_disk
from PIL import Image
from torch.utils.data import DataLoader

from surglavi_hf.data import Clip, VideoClip, VideoDecodeError, sample_timestamps

from ..conftest import shown


@pytest.fixture
def clip(tmp_path, write_video):
    """Thirty frames of 0.1 s; the clip is the second of its three seconds."""
    write_video(tmp_path / "videos" / "v" / "v.mp4", [index / 10 for index in range(30)])
    return Clip("v", 1.0, 2.0, str(tmp_path))


def test_middle_and_uniform():
    assert sample_timestamps(10.0, 14.0, 4) == [10.5, 11.5, 12.5, 13.5]
    assert sample_timestamps(10.0, 14.0, 4, "uniform") == [10.0, 11.0, 12.0, 13.0]


def test_rand_takes_one_from_each_segment():
    draws = [sample_timestamps(10.0, 14.0, 4, "rand", torch.Generator().manual_seed(seed)) for seed in range(50)]
    for times in draws:
        assert all(10 + index <= time < 11 + index for index, time in enumerate(times))
    assert len({tuple(times) for times in draws}) == 50
    assert draws[7] == sample_timestamps(10.0, 14.0, 4, "rand", torch.Generator().manual_seed(7))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0.0, 1.0, 0), "num_frames=0"),
        ((1.0, 1.0, 4), "clip interval"),
        ((-1.0, 1.0, 4), "clip interval"),
        ((float("nan"), 1.0, 4), "clip interval"),
        ((0.0, 1.0, 4, "random"), "sampling='random'"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_timestamps(*arguments)


def test_frames_lie_in_the_interval(clip):
    assert shown(clip.frames(5)) == [11, 13, 15, 17, 19]
    assert shown(clip.frames(2, "uniform")) == [10, 15]
    assert clip.frames().shape == (16, 3, 64, 64)
    drawn = clip.frames(4, "rand", torch.Generator().manual_seed(1))
    assert torch.equal(drawn, clip.frames(4, "rand", torch.Generator().manual_seed(1)))
    assert all(10 <= number < 20 for number in shown(drawn))


def test_nothing_is_opened_before_frames_is_called(tmp_path):
    clip = Clip("gone", 0.0, 1.0, str(tmp_path))
    assert not clip.available and clip.path == tmp_path / "videos" / "gone" / "gone.mp4"
    with pytest.raises(FileNotFoundError, match=str(clip.path)):
        clip.frames()


def test_a_clip_that_ends_after_its_video_ends_with_it(clip):
    """The video has 2.901 seconds; the middles of eight parts of [1, 2.901) are shown."""
    long = Clip("v", 1.0, 1000.0, clip.video_dir)
    assert shown(long.frames(8)) == [11, 13, 15, 18, 20, 23, 25, 27]
    drawn = long.frames(4, "rand", torch.Generator().manual_seed(1))
    assert torch.equal(drawn, long.frames(4, "rand", torch.Generator().manual_seed(1)))
    assert all(10 <= number < 30 for number in shown(drawn))
    with pytest.raises(VideoDecodeError, match=r"v\.mp4 ends at 2\.901 s, but its frame at"):
        Clip("v", 500.0, 1000.0, clip.video_dir).frames()


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "", "a/b", "a\\b", "a\0b", "x" * 300])
def test_a_name_that_leaves_the_library(name, tmp_path):
    clip = Clip(name, 0.0, 1.0, str(tmp_path))
    assert not clip.available and "cannot be a file name" in clip._repr_html_()
    with pytest.raises(ValueError, match="cannot be a file name"):
        clip.frames()


def test_pickle_copy_equality_and_repr(clip):
    assert clip.available
    for other in (pickle.loads(pickle.dumps(clip)), copy.copy(clip), copy.deepcopy(clip), eval(repr(clip))):
        assert other == clip and (other != clip) is False and hash(other) == hash(clip) and other.path == clip.path
    for other in (
        Clip("w", 1.0, 2.0, clip.video_dir),
        Clip("v", 1.0, 2.5, clip.video_dir),
        Clip("v", 1.0, 2.0, "/elsewhere"),
        bytes(clip),
    ):
        assert other != clip and (other == clip) is False
    assert (
        repr(clip) == str(clip) == f"Clip(video_name='v', start_time=1.0, end_time=2.0, video_dir={clip.video_dir!r})"
    )
    with pytest.raises(FrozenInstanceError):
        clip.start_time = 0.0


def test_a_strip_of_frames_in_a_notebook(clip, tmp_path):
    html = clip._repr_html_()
    data = base64.b64decode(re.search(r"base64,([^\"]+)", html).group(1))
    strip = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert strip.shape == (96, 8 * 96) and "1.0–2.0 s" in html
    frames = [round(strip[:, 96 * index + 20 : 96 * index + 76].mean() / 8) for index in range(8)]
    assert frames == shown(clip.frames(8))
    gone = Clip("<script>", 0.0, 1.0, str(tmp_path))._repr_html_()
    assert "&lt;script&gt;" in gone and "<script>" not in gone and "is not there" in gone


@pytest.fixture
def dataset(clip):
    rows = {"clip": [clip, Clip("gone", 0.0, 1.0, clip.video_dir), None], "n": [1, 2, 3]}
    return Dataset.from_dict(rows, features=Features({"clip": VideoClip(clip.video_dir), "n": Value("int64")}))


def test_column_stores_name_and_interval(dataset, clip, tmp_path):
    assert dataset[0]["clip"] == clip and dataset[2]["clip"] is None
    stored = dataset.cast_column("clip", VideoClip(clip.video_dir, decode=False))[0]["clip"]
    assert stored == {"video_name": "v", "start_time": 1.0, "end_time": 2.0}
    assert dataset.data.schema.field("clip").type == VideoClip.pa_type
    dataset.save_to_disk(tmp_path / "saved")
    dataset.to_parquet(tmp_path / "saved.parquet")
    assert load_from_disk(tmp_path / "saved")[0]["clip"] == clip
    assert Dataset.from_parquet(str(tmp_path / "saved.parquet"))[0]["clip"] == clip
    assert len((tmp_path / "saved.parquet").read_bytes()) < 10_000, "no pixels"


def test_select_filter_sort_shuffle_concatenate(dataset, clip):
    assert dataset.filter(lambda row: row["clip"] is not None and row["clip"].available)["n"] == [1]
    assert dataset.select([2, 0])[1]["clip"] == dataset.sort("n", reverse=True)[2]["clip"] == clip
    assert concatenate_datasets([dataset, dataset])[3]["clip"] == clip
    assert clip in list(dataset.shuffle(seed=0)["clip"])


@pytest.mark.parametrize("num_proc", [None, 2])
def test_map_may_touch_return_and_rename_clips(dataset, clip, num_proc):
    rows = dataset.select([0, 1])
    touched = rows.map(lambda row: {"length": row["clip"].end_time - row["clip"].start_time}, num_proc=num_proc)
    assert touched[0] == {"clip": clip, "n": 1, "length": 1.0} and touched.features["clip"] == rows.features["clip"]
    assert rows.map(lambda row: dict(row), num_proc=num_proc)[0]["clip"] == clip
    batched = rows.map(lambda batch: {"clip": batch["clip"][::-1]}, batched=True, num_proc=None)
    assert batched[1]["clip"] == clip
    other = rows.map(lambda row: {"other": row["clip"]}, num_proc=num_proc)
    assert other.cast_column("other", VideoClip(clip.video_dir))[0]["other"] == clip


@pytest.mark.parametrize("format", [None, "torch", "numpy", "pandas"])
def test_formats_hand_clips_through(dataset, clip, format):
    formatted = dataset.select([0, 1]).with_format(format)
    row, batch = formatted[0]["clip"], formatted[:2]["clip"]
    assert (row[0] if format == "pandas" else row) == clip
    assert type(batch[0]) is Clip and batch[0] == clip and formatted["clip"][0] == clip
    assert shown(batch[0].frames(2)) == [12, 17]


def test_pandas_and_back(dataset, clip):
    frame = dataset.to_pandas()
    assert frame["clip"][0] == {"video_name": "v", "start_time": 1.0, "end_time": 2.0}
    assert Dataset.from_pandas(frame, features=dataset.features)[0]["clip"] == clip


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_dataloader(dataset, clip, method):
    """With torch's own collation, which refuses most objects."""
    rows = dataset.select([0, 1]).with_format("torch")
    loader = DataLoader(rows, batch_size=2, num_workers=1, multiprocessing_context=method)
    (batch,) = loader
    assert batch["clip"][0] == clip and batch["n"].tolist() == [1, 2] and shown(batch["clip"][0].frames(1)) == [15]


def test_an_iterable_dataset(dataset, clip):
    stream = dataset.to_iterable_dataset().map(lambda row: {"m": row["n"] + 1})
    assert next(iter(stream))["clip"] == clip == next(iter(stream.with_format("torch")))["clip"]


def test_video_dir_may_be_a_path_and_relative(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moved = dataset.cast_column("clip", VideoClip(video_dir=Path("other")))
    assert moved[0]["clip"].video_dir == str(tmp_path / "other")
    assert VideoClip("~/x").video_dir == str(Path.home() / "x")


def test_flatten(dataset, clip):
    assert dataset.flatten()[0]["clip"] == clip
    flat = dataset.cast_column("clip", VideoClip(clip.video_dir, decode=False)).flatten()
    assert flat[0] == {"clip.video_name": "v", "clip.start_time": 1.0, "clip.end_time": 2.0, "n": 1}


def test_cast_column_points_to_another_disk(corpus):
    dataset = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train")
    moved = dataset.cast_column("clip", VideoClip(video_dir="/elsewhere"))
    assert str(moved[0]["clip"].path).startswith("/elsewhere/videos/") and moved[0]["clip"] != dataset[0]["clip"]
    assert dataset[0]["clip"].available and not moved[0]["clip"].available
    assert moved._fingerprint != dataset._fingerprint, "what map computed on one disk is not of the other"
