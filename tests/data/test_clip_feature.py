# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset, Features, Value, concatenate_datasets, load_dataset, load_from_disk
from torch.utils.data import DataLoader

from surglavi_hf.data import Clip, VideoClip, attach_clips

from ..conftest import shown


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
    assert other[0]["other"] == clip and other.features["other"] == rows.features["clip"]


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
    features = Features({"clip": VideoClip("other")})
    made = Dataset.from_dict({"clip": [Clip("v", 1.0, 2.0, "other"), Clip("v", 1.0, 2.0, Path("other"))]}, features)
    assert made[1]["clip"] == moved[0]["clip"]


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


def fresh(code: str) -> str:
    """Runs Python that has not imported this package. Threads of a streamed dataset abort its usual end at times."""
    code = f"from datasets import *\n{code}\nimport os, sys; sys.stdout.flush(); os._exit(0)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_what_is_written_is_read_without_this_package(dataset, clip, tmp_path):
    """As plain columns; and with it as clips again."""
    rows = dataset.add_column("clips", [[clip], [], None])
    saved, parquet = tmp_path / "saved", tmp_path / "saved.parquet"
    rows.save_to_disk(saved)
    rows.to_parquet(parquet)
    stored = {"video_name": "v", "start_time": 1.0, "end_time": 2.0}
    plain = {"clip": stored, "n": 1, "clips": [stored]}
    cache = f"cache_dir={str(tmp_path / 'cache')!r}"
    for read in (
        f"load_from_disk({str(saved)!r})",
        f"Dataset.from_parquet({str(parquet)!r}, {cache})",
        f"load_dataset('parquet', data_files={str(parquet)!r}, split='train', streaming=True)",
    ):
        assert fresh(f"print(list({read})[0])") == str(plain)
    for again in (load_from_disk(saved), Dataset.from_parquet(str(parquet))):
        assert again.features == rows.features and again[0] == {"clip": clip, "n": 1, "clips": [clip]}


@pytest.mark.parametrize("format", ["json", "csv"])
def test_clips_of_text_files_are_attached_again(dataset, clip, tmp_path, format):
    """Such files hold no types, so that with this package, too, they are plain."""
    rows = dataset.select([0, 1]).add_column("video_name", ["v", "gone"])
    rows = rows.add_column("start_time", [1.0, 0.0]).add_column("end_time", [2.0, 1.0])
    path = str(tmp_path / f"rows.{format}")
    getattr(rows, f"to_{format}")(path)
    read = getattr(Dataset, f"from_{format}")(path, cache_dir=str(tmp_path / "cache"))
    assert not isinstance(read[0]["clip"], Clip) and "start_time" in read[0]["clip"]
    assert attach_clips(read, clip.video_dir)["clip"][:] == rows["clip"][:]


def test_a_fresh_process_can_make_clips_of_what_it_reads(dataset, clip, tmp_path):
    dataset.to_parquet(tmp_path / "rows.parquet")
    read = f"rows = Dataset.from_parquet({str(tmp_path / 'rows.parquet')!r}, cache_dir={str(tmp_path / 'cache')!r})"
    cast = f"from surglavi_hf import VideoClip; rows = rows.cast_column('clip', VideoClip({clip.video_dir!r}))"
    assert fresh(f"{read}; {cast}; print(rows[0]['clip'])") == str(clip)


def test_features_keep_their_library_wherever_they_are_written(clip):
    for feature in (VideoClip(clip.video_dir), VideoClip("/elsewhere", decode=False)):
        features = Features({"clip": feature, "x": [{"clip": feature}], "n": Value("int64")})
        assert Features.from_dict(json.loads(json.dumps(features.to_dict()))) == features
        assert Features._from_yaml_list(features._to_yaml_list()) == features


def test_structures_of_others_are_theirs():
    """Even with the names of ours."""
    features = Features(
        {"x": {"video_name": Value("string"), "start_time": Value("float64"), "end_time": Value("float64")}}
    )
    assert Features.from_dict(features.to_dict()) == features


def test_features_written_by_earlier_versions(clip, tmp_path):
    Dataset.from_dict({"clip": [clip]}).save_to_disk(tmp_path / "saved")
    info = tmp_path / "saved" / "dataset_info.json"
    old = {"video_dir": clip.video_dir, "decode": True, "id": None, "_type": "VideoClip"}
    info.write_text(json.dumps(json.loads(info.read_text()) | {"features": {"clip": old}}))
    assert load_from_disk(tmp_path / "saved")[0]["clip"] == clip


def test_the_dataset_says_what_to_import(corpus):
    assert "import surglavi_hf" in load_dataset("surglavi", data_dir=str(corpus), split="train").info.description
