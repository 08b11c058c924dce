# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.data import Embeddings
from surglavi_hf.files import digest_of

VALUES = (np.arange(12, dtype=np.float32).reshape(4, 3) - 6) / 16


@pytest.fixture
def write(tmp_path):
    def write(**columns):
        rows = {"caption_id": [7, 3, 5, 9], "embedding": list(VALUES), "model_id": ["me/x"] * 4} | columns
        rows = {"model_revision": ["abc"] * 4} | rows
        pq.write_table(pa.table({name: value for name, value in rows.items() if value}), tmp_path / "e.parquet")
        return tmp_path / "e.parquet"

    return write


def test_rows_in_the_order_that_is_asked_for(write):
    rows = Embeddings.read(write()).of(np.array([5, 4, 7, 9]))
    assert rows["caption_id"][:] == [5, 7, 9]
    assert np.array_equal(np.array(rows["embedding"][:]), VALUES[[2, 0, 3]])
    assert rows[0]["model_id"] == "me/x" and rows[0]["model_revision"] == "abc"
    assert rows.features["embedding"].length == 3 and rows.features["embedding"].feature.dtype == "float16"


@given(st.sets(st.integers(0, 30)), st.lists(st.integers(0, 30), unique=True))
def test_any_captions(known, asked):
    ids = np.array(sorted(known, key=lambda number: -number), np.int64)
    embeddings = Embeddings(ids, ids[:, None].astype(np.float16), "me/x", "abc")
    rows = embeddings.of(np.array(asked, np.int64))
    expected = [number for number in asked if number in known]
    assert rows["caption_id"][:] == expected and rows["embedding"][:] == [[float(number)] for number in expected]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"embedding": None}, "cannot be read as embeddings"),
        ({"model_id": None}, "cannot be read as embeddings"),
        ({"embedding": [[1.0], [1.0, 2.0], [1.0], [1.0]]}, "cannot be read as embeddings"),
        ({"embedding": ["a", "b", "c", "d"]}, "cannot be read as embeddings"),
        ({"caption_id": ["a", "b", "c", "d"]}, "cannot be read as embeddings"),
        ({"caption_id": [None, 1, 2, 3]}, "cannot be read as embeddings"),
        ({"caption_id": [1, 2, 3, 3]}, "has a caption_id more than once"),
        ({"embedding": [[1.0], [float("nan")], [1.0], [1.0]]}, "not finite in float16"),
        ({"embedding": [[1.0], [1e6], [1.0], [1.0]]}, "not finite in float16"),
        ({"embedding": [[1.0], [-1.5], [1.0], [1.0]]}, "vector of length 1.5, expected at most 1"),
        ({"embedding": [[0.0] * 4097] * 4}, "embeddings of 4,097 numbers, expected at most 4,096"),
        ({"model_id": ["me/x", "me/y", "me/x", "me/x"]}, "expected one model and one revision"),
        ({"model_revision": [""] * 4}, "expected one model and one revision"),
        ({"model_id": ["x`\n## Injected"] * 4}, "expected one model and one revision"),
    ],
)
def test_files_that_are_refused(write, columns, message):
    with pytest.raises(ValueError, match=message):
        Embeddings.read(write(**columns))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no embeddings at .*expected the Parquet file"):
        Embeddings.read(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(ValueError, match="cannot be read as embeddings"):
        Embeddings.read(tmp_path / "text.parquet")


def test_no_damage_passes_for_embeddings(write, tmp_path):
    """Of 1,000 flipped bits each is an error that names the file, or changes nothing that is read."""
    rows = pq.read_table(write(embedding=list(VALUES.astype(np.float16))))
    digest = digest_of("me/x", "abc", rows["caption_id"].to_numpy(), VALUES.astype(np.float16))
    pq.write_table(rows.replace_schema_metadata({"digest": digest}), tmp_path / "e.parquet")
    whole, generator, refused = (tmp_path / "e.parquet").read_bytes(), np.random.default_rng(0), 0
    expected = Embeddings.read(tmp_path / "e.parquet")
    for bit in generator.choice(8 * len(whole), 1000, replace=False):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "e.parquet").write_bytes(damaged)
        try:
            read = Embeddings.read(tmp_path / "e.parquet")
        except ValueError as error:
            assert "e.parquet" in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert (read.model_id, read.model_revision) == ("me/x", "abc")
            assert np.array_equal(read.caption_id, expected.caption_id)
            assert np.array_equal(read.embedding, expected.embedding)
    assert refused > 300
