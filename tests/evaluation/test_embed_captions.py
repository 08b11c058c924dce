# SPDX-License-Identifier: Apache-2.0
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import concatenate_datasets, load_dataset

from surglavi_hf.cli import main
from surglavi_hf.data import Embeddings
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
    expected = embed_clips(*tiny_model, table).embeds.numpy().astype(np.float16)
    found = np.stack(written["embedding"].to_numpy())
    assert np.array_equal(found[:6], expected) and np.array_equal(found[6], expected[2])
    assert set(written["model_id"].to_pylist()) == {"SurgCLIPModel"}
    (revision,) = set(written["model_revision"].to_pylist())
    assert revision.startswith("weights ")
    assert [path.name for path in tmp_path.iterdir()] == ["e.parquet"]
    assert np.array_equal(Embeddings.read(tmp_path / "e.parquet").embedding, found)
    pq.write_table(written.set_column(0, "caption_id", [written["caption_id"][::-1]]), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"other\.parquet is not as surglavi embed wrote it"):
        Embeddings.read(tmp_path / "other.parquet")
    with pytest.raises(FileExistsError, match=r"e\.parquet is there already"):
        embed_captions(*tiny_model, rows, tmp_path / "e.parquet")


def test_no_video_is_there(table, tiny_model, tmp_path):
    from surglavi_hf import attach_clips

    with pytest.raises(ValueError, match="none of 6 clips can be read"):
        embed_captions(*tiny_model, attach_clips(table, tmp_path), tmp_path / "e.parquet")
    assert not list(tmp_path.iterdir())


def test_the_command(corpus, tiny_model, tmp_path, capsys):
    for part in tiny_model:
        part.save_pretrained(tmp_path / "model")
    arguments = ["--data-dir", str(corpus), "--model", str(tmp_path / "model"), "--level", "phase"]
    assert main(["embed", *arguments, "--output", str(tmp_path / "e.parquet")]) == 0
    number = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train").num_rows
    assert f"embeddings of the clips of {number} captions" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "e.parquet").num_rows == number


def test_clips_that_cannot_be_read_are_listed(corpus, tiny_model, tmp_path, capsys):
    for part in tiny_model:
        part.save_pretrained(tmp_path / "model")
    folder = shutil.copytree(corpus, tmp_path / "corpus")
    rows = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train")
    name = rows[0]["video_name"]
    (folder / "videos" / name / f"{name}.mp4").write_bytes(b"broken")
    arguments = ["--data-dir", str(folder), "--model", str(tmp_path / "model"), "--level", "phase"]
    lost = sorted(row["caption_id"] for row in rows if row["video_name"] == name)
    out = tmp_path / "out" / "e.parquet"
    assert main(["embed", *arguments, "--output", str(out), "--strict"]) == 1
    assert f"{name}.mp4" in capsys.readouterr().err and not out.parent.exists()
    assert main(["embed", *arguments, "--output", str(out)]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    listed = tmp_path / "out" / "e.parquet.unreadable.json"
    assert last == f"surglavi embed: {len(lost)} clips cannot be read and are left out; {listed} lists them"
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, listed.name]
    assert sorted(clip["caption_id"] for clip in json.loads(listed.read_text())) == lost
    assert str(tmp_path) not in listed.read_text()
    assert set(pq.read_table(out)["caption_id"].to_pylist()) == {*rows["caption_id"]} - {*lost}
    out.unlink()
    shutil.copy(corpus / "videos" / name / f"{name}.mp4", folder / "videos" / name / f"{name}.mp4")
    assert main(["embed", *arguments, "--output", str(out)]) == 0 and not listed.exists()
