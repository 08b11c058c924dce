# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import concatenate_datasets, load_dataset

from surglavi_hf.cli import main
from surglavi_hf.evaluation import embed_captions, embed_clips


@pytest.fixture(scope="module")
def table(corpus):
    return load_dataset("surglavi", "step", data_dir=str(corpus), split="train").select(range(6))


def test_a_row_a_caption(table, tiny_model, tmp_path):
    twice = concatenate_datasets([table, table.select([2])]).to_list()
    twice[-1]["caption_id"] = 999  # another caption of the same interval
    rows = concatenate_datasets([table, table.select([2]).map(lambda row: {"caption_id": 999})])
    assert embed_captions(*tiny_model, rows, tmp_path / "e.parquet") == 7
    written = pq.read_table(tmp_path / "e.parquet")
    assert written["caption_id"].to_pylist() == rows["caption_id"][:]
    expected = embed_clips(*tiny_model, table).numpy().astype(np.float16)
    found = np.stack(written["embedding"].to_numpy())
    assert np.array_equal(found[:6], expected) and np.array_equal(found[6], expected[2])
    assert set(written["model_id"].to_pylist()) == {"SurgCLIPModel"}
    (revision,) = set(written["model_revision"].to_pylist())
    assert revision.startswith("weights ")
    assert [path.name for path in tmp_path.iterdir()] == ["e.parquet"]
    with pytest.raises(FileExistsError, match=r"e\.parquet is there already"):
        embed_captions(*tiny_model, rows, tmp_path / "e.parquet")


def test_no_video_is_there(table, tiny_model, tmp_path):
    from surglavi_hf import attach_clips

    with pytest.raises(ValueError, match="none of 6 clips can be read"):
        embed_captions(*tiny_model, attach_clips(table, tmp_path), tmp_path / "e.parquet")
    assert not (tmp_path / "e.parquet").exists()


def test_the_command(corpus, tiny_model, tmp_path, capsys):
    for part in tiny_model:
        part.save_pretrained(tmp_path / "model")
    arguments = ["--data-dir", str(corpus), "--model", str(tmp_path / "model"), "--level", "phase"]
    assert main(["embed", *arguments, "--output", str(tmp_path / "e.parquet")]) == 0
    number = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train").num_rows
    assert f"embeddings of the clips of {number} captions" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "e.parquet").num_rows == number
