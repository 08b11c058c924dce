# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, Features, IterableDataset, List, Value, concatenate_datasets, interleave_datasets

from surglavi_hf.data import Clip, VideoClip

ONE, OTHER = Clip("v", 1.0, 2.0, "/one"), Clip("w", 1.0, 3.0, "/one")
ELSEWHERE = Clip("w", 1.0, 3.0, "/other")
COLUMN = VideoClip("/one")
TWO_LIBRARIES = r"clips of two libraries, /\w+ and /\w+, but is read from one; .*surglavi adopt /.*cast_column"


@pytest.fixture
def rows():
    return Dataset.from_dict({"n": [1, 2, 3]})


@pytest.mark.parametrize(
    "make",
    [
        lambda clips: Dataset.from_dict({"clip": clips}),
        lambda clips: Dataset.from_list([{"clip": clip} for clip in clips]),
        lambda clips: Dataset.from_generator(lambda: ({"clip": clip} for clip in clips)),
        lambda clips: Dataset.from_pandas(pd.DataFrame({"clip": clips})),
        lambda clips: Dataset.from_dict({"n": [1, 2, 3]}).add_column("clip", clips).remove_columns("n"),
        lambda clips: Dataset.from_dict({"clip": clips[:2]}).add_item({"clip": clips[2]}),
    ],
    ids=["from_dict", "from_list", "from_generator", "from_pandas", "add_column", "add_item"],
)
@pytest.mark.parametrize("clips", [[ONE, OTHER, None], [None, ONE, OTHER]], ids=["clip first", "null first"])
def test_made_columns(make, clips):
    made = make(clips)
    assert made.features == {"clip": COLUMN} and made["clip"][:] == clips


@pytest.mark.parametrize("format", [None, "torch", "numpy"])
@pytest.mark.parametrize("num_proc", [None, 2])
def test_map_to_a_new_column(rows, format, num_proc):
    mapped = rows.with_format(format).map(lambda row: {"clip": ONE if row["n"] != 2 else OTHER}, num_proc=num_proc)
    assert mapped.features["clip"] == COLUMN and mapped.with_format(None)["clip"][:] == [ONE, OTHER, ONE]


def test_map_of_batches(rows):
    for clips in ([ONE, None, OTHER], np.array([ONE, None, OTHER], dtype=object)):
        assert rows.map(lambda batch, clips=clips: {"clip": clips}, batched=True)["clip"][:] == [ONE, None, OTHER]


def test_clips_in_lists_and_structures(rows):
    value = [{"clip": ONE, "name": "x", "scores": [1, 2]}, {"clip": None, "name": None, "scores": []}]
    mapped = rows.map(lambda row: {"x": value, "pair": [ONE, OTHER]})
    expected = {"clip": COLUMN, "name": Value("string"), "scores": List(Value("int64"))}
    assert mapped.features == {"n": Value("int64"), "x": List(expected), "pair": List(COLUMN)}
    assert mapped[2] == {"n": 3, "x": value, "pair": [ONE, OTHER]}
    assert rows.map(lambda row: {"x": {"clip": ONE}})[0]["x"] == {"clip": ONE}


def test_streams(rows):
    stream = rows.to_iterable_dataset().map(lambda row: {"clip": ONE})
    assert next(iter(stream)) == {"n": 1, "clip": ONE}
    assert stream._resolve_features().features == {"n": Value("int64"), "clip": COLUMN}
    assert next(iter(stream._resolve_features()))["clip"] == ONE
    generated = IterableDataset.from_generator(lambda: iter([{"clip": ONE}]))._resolve_features()
    assert generated.features == {"clip": COLUMN} and next(iter(generated)) == {"clip": ONE}


def test_other_columns_are_left_to_datasets(rows):
    columns = {"b": [b"x", None], "s": ["x", None], "none": [None, None], "l": [[1], []], "d": [{"x": 1}, None]}
    features = {
        "b": Value("binary"),
        "s": Value("string"),
        "none": Value("null"),
        "l": List(Value("int64")),
        "d": {"x": Value("int64")},
    }
    assert Dataset.from_dict(columns).features == features
    assert rows.add_column("a", np.arange(3)).features["a"] == Value("int64")
    assert rows.map(lambda row: {"x": np.zeros((2, 2))}).features["x"] == List(List(Value("float64")))


def test_what_pandas_made_bytes_of_is_cast(rows):
    made = rows.with_format("pandas").map(lambda frame: frame.assign(clip=[ONE] * len(frame)), batched=True)
    made = made.with_format(None)
    assert made.features["clip"] == Value("binary") and made.cast_column("clip", COLUMN)[0]["clip"] == ONE
    with pytest.raises(ValueError, match=TWO_LIBRARIES):
        made.cast_column("clip", VideoClip("/other"))


@pytest.mark.parametrize(
    "make",
    [
        lambda rows: Dataset.from_list([{"clip": ONE}, {"clip": ELSEWHERE}]),
        lambda rows: Dataset.from_dict({"clip": [ONE]}, features=Features({"clip": VideoClip("/other")})),
        lambda rows: Dataset.from_dict({"clip": [[ONE], [ELSEWHERE]]}),
        lambda rows: rows.map(lambda row: {"clip": ONE if row["n"] < 3 else ELSEWHERE}),
        lambda rows: rows.map(lambda row: {"clip": ONE if row["n"] < 3 else ELSEWHERE}, writer_batch_size=1),
        lambda rows: rows.map(lambda row: {"clip": ONE if row["n"] < 3 else ELSEWHERE}, num_proc=3),
        lambda rows: rows.add_column("clip", [ONE, ONE, ELSEWHERE]),
        lambda rows: rows.add_column("clip", [ONE] * 3).add_item({"n": 4, "clip": ELSEWHERE}),
        lambda rows: rows.add_column("clip", [ONE] * 3).map(lambda row: {"clip": ELSEWHERE}),
    ],
)
def test_a_column_has_one_library(rows, make):
    """Silently, clips would be read from the wrong one."""
    with pytest.raises(ValueError, match=TWO_LIBRARIES):
        make(rows)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("join", [concatenate_datasets, interleave_datasets])
@pytest.mark.parametrize("nested", [False, True])
def test_two_libraries_are_joined_where_one_is_chosen(join, streamed, nested):
    one, other = (Dataset.from_dict({"x": [{"clip": clip} if nested else clip] * 2}) for clip in (ONE, ELSEWHERE))
    moved = other.cast(one.features)
    if streamed:
        one, other, moved = (rows.to_iterable_dataset() for rows in (one, other, moved))
    with pytest.raises(ValueError, match=TWO_LIBRARIES):
        join([one, other])
    joined = [row["x"]["clip"] if nested else row["x"] for row in join([one, moved])]
    assert set(joined) == {ONE, OTHER}
