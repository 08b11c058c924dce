# SPDX-License-Identifier: Apache-2.0
import base64

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, List, Value, Video

from surglavi_hf import VideoClip
from surglavi_hf.hub.guard import check_dataset_files, check_model_files

NAME = "phase/train-00000-of-00001.parquet"


@pytest.fixture
def parquet(tmp_path):
    def write(rows: dict, features: Features):
        path = tmp_path / "shard.parquet"
        Dataset.from_dict(rows, features).to_parquet(path)
        return path

    return write


def test_tables_of_numbers_and_texts_pass(parquet):
    features = Features({"caption": Value("string"), "caption_id": Value("int64"), "start_time": Value("float64")})
    rows = {"caption": ["clip", None, "words " * 50_000], "caption_id": [1, 2, None], "start_time": [0.5, 1.0, 2.0]}
    check_dataset_files({NAME: parquet(rows, features), "README.md": b"# Data", "takedown.txt": "é\n".encode()})


@pytest.mark.parametrize(
    ("value", "feature"),
    [
        (b"\0\0\0 ftypisom", Value("binary")),
        (b"\0\0\0 ftypisom", Value("large_binary")),
        ({"bytes": b"jpeg", "path": None}, Image()),
        ({"bytes": b"mp4", "path": None}, Video(decode=False)),
        ({"video_name": "a", "start_time": 0.0, "end_time": 1.0}, VideoClip(video_dir="x")),
        ([0, 255], List(Value("uint8"))),
        ([0.5], List(Value("float16"))),  # but as an embedding
        (1, Value("uint8")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_columns_that_could_hold_pixels(parquet, value, feature):
    with pytest.raises(ValueError, match="is not pushed: column"):
        check_dataset_files({NAME: parquet({"x": [value]}, Features({"x": feature}))})


def test_a_type_that_needs_code(tmp_path):
    table = pa.table({"x": pa.array(["a"])})
    info = b'{"info": {"features": {"x": {"_type": "VideoClip"}}}}'
    pq.write_table(table.replace_schema_metadata({"huggingface": info}), tmp_path / "shard.parquet")
    with pytest.raises(ValueError, match="column x is a VideoClip, which needs code"):
        check_dataset_files({NAME: tmp_path / "shard.parquet"})


@pytest.mark.parametrize(
    "text",
    ["a\0b", base64.b64encode(np.random.default_rng(0).bytes(750)).decode(), "\ufffd" * 1_000],
    ids=["zero bytes", "base64", "bytes that are no text"],
)
def test_bytes_in_the_clothes_of_text(parquet, text):
    with pytest.raises(ValueError, match="column caption is not pushed"):
        check_dataset_files({NAME: parquet({"caption": ["fine", text]}, Features({"caption": Value("string")}))})


@pytest.mark.parametrize(
    "name",
    [
        *("a.mp4", "videos/a.mp4", "surglavi.py", "x/../train-00000-of-00001.parquet", "data.arrow"),
        *("surglavi_beta.db", "phase/train-00000-of-00001.parquet.mp4", "phase/other-00000-of-00001.parquet"),
    ],
)
def test_files_that_are_no_tables(name):
    with pytest.raises(ValueError, match="is not pushed: a dataset repository gets tables"):
        check_dataset_files({name: b"x"})


def test_a_video_called_a_table(tmp_path, write_video):
    video = write_video(tmp_path / "v.mp4", [0.0, 1.0])
    with pytest.raises(ValueError, match=r"phase/train-00000-of-00001.parquet is not pushed: it is no Parquet file"):
        check_dataset_files({NAME: video})


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0", b"text\0"])
def test_a_picture_called_a_card(content):
    with pytest.raises(ValueError, match=r"README\.md is not pushed"):
        check_dataset_files({"README.md": content})
    with pytest.raises(ValueError, match=r"config\.json is not pushed"):
        check_model_files({"config.json": content})


@pytest.mark.parametrize(
    "name", ["optimizer.bin", "model.pth", "a.mp4", "a/b.json", "../a.json", "events.out.tfevents"]
)
def test_files_that_are_no_part_of_a_model(name):
    with pytest.raises(ValueError, match="is not pushed: a model is safetensors"):
        check_model_files({name: b"x"})


def test_a_token_in_a_text():
    with pytest.raises(ValueError, match=r"notes\.txt is not pushed: it has what looks like a token"):
        check_model_files({"notes.txt": b"login with hf_" + b"aB3" * 12})
