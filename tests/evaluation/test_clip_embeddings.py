# SPDX-License-Identifier: Apache-2.0
import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, concatenate_datasets, load_dataset

from surglavi_hf import attach_clips
from surglavi_hf.cli import main
from surglavi_hf.data import Embeddings, VideoDecodeError
from surglavi_hf.evaluation import EmbeddingOptions, embed_captions, embed_clips, embed_texts
from surglavi_hf.evaluation.clip_embeddings import (
    check_any,
    check_same_model,
    claimed,
    distinct_rows,
    intervals_of,
    list_unreadable,
    model_identity,
)
from surglavi_hf.evaluation.launched import Processes


def test_rows_and_batches(oracle, clips):
    found = embed_clips(oracle, None, clips)
    embeds = found.embeds
    assert found.rows == [0, 1, 2, 3] and not found.unreadable
    assert embeds.argmax(dim=1).tolist() == [1, 0, 1, 2]
    assert torch.equal(embeds, embed_clips(oracle, None, clips, EmbeddingOptions(3, 1)).embeds)
    texts = embed_texts(oracle, None, ["3", "1", "2"])
    assert texts.argmax(dim=1).tolist() == [3, 1, 2]
    many = [str(number % 5) for number in range(600)]
    assert embed_texts(oracle, None, many).argmax(dim=1).tolist() == [int(text) for text in many]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(oracle, clips, training):
    oracle.model.train(training)
    embed_clips(oracle, None, clips)
    assert oracle.model.training is training


def test_nothing_but_clips_is_needed(oracle, clips):
    alone = embed_clips(oracle, None, clips.select_columns("clip"))
    assert torch.equal(alone.embeds, embed_clips(oracle, None, clips).embeds)


def test_a_model_that_gives_no_numbers_is_an_error(oracle, clips, monkeypatch):
    """Compared with NaN everything is false, and a rank by counting would be perfect."""
    nothing = torch.full((2, 5), torch.nan)
    monkeypatch.setattr(type(oracle), "embed_windows", lambda self, frames, windows: {"projected": nothing})
    monkeypatch.setattr(type(oracle), "embed_texts", lambda self, texts: nothing)
    with pytest.raises(ValueError, match="embeddings of 2 of 2 clips are not finite"):
        embed_clips(oracle, None, clips.select([0, 1]))
    with pytest.raises(ValueError, match="embeddings of 2 of 2 texts are not finite"):
        embed_texts(oracle, None, ["1", "2"])


def test_no_clips(oracle, clips):
    with pytest.raises(ValueError, match="dataset is empty"):
        embed_clips(oracle, None, clips.select([]))


@pytest.fixture
def broken(clips, tmp_path):
    """Of the four clips the first and the third are of a file that is none."""
    (tmp_path / "videos" / "broken").mkdir()
    (tmp_path / "videos" / "broken" / "broken.mp4").write_bytes(b"none")
    names = ["broken", "v", "broken", "v"]
    rows = clips.to_list()
    for row, name in zip(rows, names, strict=True):
        row["video_name"] = name
        row["clip"] = {"video_name": name, "start_time": row["start_time"], "end_time": row["end_time"]}
    return Dataset.from_list(rows, features=clips.features)


@pytest.mark.parametrize("options", [EmbeddingOptions(), EmbeddingOptions(1), EmbeddingOptions(3, 2)])
def test_clips_that_cannot_be_read_are_left_out(oracle, broken, caplog, options):
    found = embed_clips(oracle, None, broken, options)
    assert found.rows == [1, 3] and found.embeds.argmax(dim=1).tolist() == [0, 2]
    assert list(found.unreadable) == [0, 2] and "broken.mp4" in found.unreadable[0]
    assert sum(clips for clips, _ in oracle.shapes) == 2, "the video that cannot be read takes no forward pass"
    assert caplog.text.count("2 of 4 clips cannot be read and are left out; the first: ") == 1


def test_processes_of_one_model_stay_in_step(oracle, broken, monkeypatch):
    """Where another makes two passes more; a video that cannot be read is a pass, too."""
    monkeypatch.setattr(Processes, "gather", lambda self, own: [own, own + 2] if isinstance(own, int) else [own])
    found = embed_clips(oracle, None, broken, in_step=True)
    assert oracle.shapes == [(2, 3), (2, 3), (1, 3), (1, 3)] and found.rows == [1, 3]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_strict_is_at_the_first(oracle, broken, num_workers):
    with pytest.raises(VideoDecodeError, match=r"a clip cannot be read: .*broken\.mp4") as caught:
        embed_clips(oracle, None, broken, EmbeddingOptions(num_workers=num_workers, strict=True))
    assert "\n" not in str(caught.value)


def test_none_can_be_read(broken, tiny_model):
    none = embed_clips(*tiny_model, broken.select([0, 2]))
    assert none.rows == [] and len(none.embeds) == 0
    with pytest.raises(ValueError, match=r"none of 2 clips can be read; are .* there\? The first: .*broken\.mp4"):
        check_any(none)


def test_the_list_names_no_folder_of_this_machine(oracle, broken, tmp_path):
    reasons = embed_clips(oracle, None, broken).unreadable | {
        2: f"at {tmp_path}/v.mp4 or /a/b c/d.mp4 \x1b" + "x" * 999
    }
    assert str(tmp_path) in reasons[0]
    first, second = list_unreadable(broken, reasons)
    assert first | {"reason": ""} == {
        "caption_id": 0,
        "video_name": "broken",
        "start_time": 1.0,
        "end_time": 2.0,
        "reason": "",
    }
    assert "broken.mp4" in first["reason"] and str(tmp_path.parent) not in first["reason"]
    assert second["reason"].startswith("at v.mp4 or ") and "/a/b" not in second["reason"]
    assert len(second["reason"]) == 300 and second["reason"].isprintable()
    assert list_unreadable(broken.select_columns("clip"), {0: "x"})[0]["caption_id"] is None


@pytest.fixture(scope="module")
def steps(corpus):
    return load_dataset("surglavi", "step", data_dir=str(corpus), split="train").select(range(6))


@pytest.fixture
def half_broken(corpus, tmp_path):
    """Rows of several videos, the first of which cannot be read."""
    folder = shutil.copytree(corpus, tmp_path / "corpus")
    rows = load_dataset("surglavi", "step", data_dir=str(folder), split="train").select(range(18))
    name = rows[0]["video_name"]
    (folder / "videos" / name / f"{name}.mp4").write_bytes(b"broken")
    return rows


@pytest.fixture
def parts(tmp_path):
    with claimed(tmp_path / "parts") as parts:
        yield parts


def test_a_pass_is_of_one_video(half_broken, tiny_model, parts, stopping):
    """So that neither other videos nor stops nor the number of processes change a number."""
    encoder = stopping(*tiny_model)
    found = embed_clips(encoder, None, half_broken, EmbeddingOptions(batch_size=4), parts)
    names = half_broken["video_name"][:]
    unreadable = [row for row, name in enumerate(names) if name == names[0]]
    assert 0 < len(unreadable) < 18 and found.rows == sorted({*range(18)} - {*unreadable})
    assert list(found.unreadable) == unreadable and names[0] in found.unreadable[0]
    sizes = [names.count(name) for name in dict.fromkeys(names) if name != names[0]]
    assert sorted(encoder.passes) == sorted(min(4, size - start) for size in sizes for start in range(0, size, 4))
    for name in dict.fromkeys(names[row] for row in found.rows):
        rows = [row for row, other in enumerate(names) if other == name]
        alone = embed_clips(*tiny_model, half_broken.select(rows), EmbeddingOptions(batch_size=4)).embeds
        assert torch.equal(found.embeds[[found.rows.index(row) for row in rows]], alone)


def test_what_is_embedded_is_not_embedded_again(half_broken, tiny_model, parts, stopping):
    first, again = stopping(*tiny_model), stopping(*tiny_model)
    embeds = [embed_clips(encoder, None, half_broken, parts=parts) for encoder in (first, again)]
    assert first.passes and not again.passes
    assert embeds[0].rows == embeds[1].rows and embeds[0].unreadable == embeds[1].unreadable
    assert torch.equal(embeds[0].embeds, embeds[1].embeds)
    with pytest.raises(VideoDecodeError, match="a clip cannot be read"):
        embed_clips(*tiny_model, half_broken, EmbeddingOptions(strict=True), parts)


def test_it_goes_on_where_it_was_stopped(corpus, tiny_model, parts, stopping):
    rows = load_dataset("surglavi", "step", data_dir=str(corpus), split="train")
    with pytest.raises(KeyboardInterrupt):
        embed_clips(stopping(*tiny_model, after=3), None, rows, parts=parts)
    assert len(list(parts.glob("*.arrow"))) == 3, "a file a video"
    encoder = stopping(*tiny_model)
    found = embed_clips(encoder, None, rows, parts=parts)
    assert len(encoder.passes) == len(set(rows["video_name"])) - 3
    assert torch.equal(found.embeds, embed_clips(*tiny_model, rows).embeds)


def test_what_can_be_read_by_now_is_added(half_broken, corpus, tiny_model, tmp_path, parts, stopping):
    name = half_broken[0]["video_name"]
    past = half_broken[17] | {"start_time": 900.0, "end_time": 901.0}  # the end of a video that can be read
    past["clip"] = {"video_name": past["video_name"], "start_time": 900.0, "end_time": 901.0}
    rows = concatenate_datasets([half_broken, Dataset.from_list([past], features=half_broken.features)])
    assert {0, 18} <= set(embed_clips(*tiny_model, rows, parts=parts).unreadable)
    shutil.copy(corpus / "videos" / name / f"{name}.mp4", tmp_path / "corpus" / "videos" / name / f"{name}.mp4")
    encoder = stopping(*tiny_model)
    found = embed_clips(encoder, None, rows, parts=parts)
    assert list(found.unreadable) == [18] and sum(encoder.passes) == half_broken["video_name"][:].count(name)
    assert torch.equal(found.embeds, embed_clips(*tiny_model, half_broken).embeds)


def test_other_clips_of_a_video_are_other_parts(half_broken, tiny_model, parts, stopping):
    """Another level, or another model, in the same folder of parts."""
    good = [row for row, name in enumerate(half_broken["video_name"]) if name != half_broken[0]["video_name"]]
    for rows in (good, good[:1]):
        encoder = stopping(*tiny_model)
        embed_clips(encoder, None, half_broken.select(rows), parts=parts)
        assert encoder.passes
    with torch.no_grad():
        tiny_model[0].temp += 1
    encoder = stopping(*tiny_model)
    embed_clips(encoder, None, half_broken.select(good), parts=parts)
    assert encoder.passes
    with torch.no_grad():
        tiny_model[0].temp -= 1


def test_a_damaged_part_is_named(half_broken, tiny_model, parts):
    rows = half_broken.select(range(16, 18))
    embed_clips(*tiny_model, rows, parts=parts)
    (path,) = parts.glob("*.arrow")
    written = bytearray(path.read_bytes())
    written[len(written) // 2] ^= 1
    path.write_bytes(written)
    with pytest.raises(ValueError, match=r"\.arrow cannot be read .*; delete it"):
        embed_clips(*tiny_model, rows, parts=parts)


def test_parts_are_of_one_process(tmp_path):
    with claimed(tmp_path / "new" / "parts") as parts:
        with pytest.raises(FileExistsError, match=r"another process is at work in .*parts; wait"), claimed(parts):
            pass
        assert parts.is_dir()
    assert not parts.exists()


def test_parts_stay_where_something_was_embedded(tmp_path):
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path / "new" / "parts") as parts:
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir()), "nor the folder above"
    with pytest.raises(KeyboardInterrupt), claimed(tmp_path / "new" / "parts") as parts:
        (parts / "a.arrow").touch()
        raise KeyboardInterrupt
    assert (parts / "a.arrow").is_file()
    with claimed(parts):
        pass
    assert not parts.exists()


def test_distinct_rows(corpus):
    rows = load_dataset("surglavi", "step", data_dir=str(corpus), split="train")
    assert distinct_rows(rows.select([3, 0, 3, 1, 0])) == [0, 1, 3]
    assert intervals_of(rows.select_columns("clip")) == intervals_of(rows), "of the clips where there are no columns"
    with pytest.raises(ValueError, match="the dataset is empty"):
        distinct_rows(rows.select([]))


def test_a_row_a_caption(steps, tiny_model, tmp_path):
    twice = concatenate_datasets([steps, steps.select([2])]).to_list()
    twice[-1]["caption_id"] = 999  # another caption of the same interval
    rows = concatenate_datasets([steps, steps.select([2]).map(lambda row: {"caption_id": 999})])
    assert embed_captions(*tiny_model, rows, tmp_path / "e.parquet") == 7
    written = pq.read_table(tmp_path / "e.parquet")
    assert written["caption_id"].to_pylist() == rows["caption_id"][:]
    expected = embed_clips(*tiny_model, steps).embeds.numpy().astype(np.float16)
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


def test_no_video_is_there(steps, tiny_model, tmp_path):

    with pytest.raises(ValueError, match="none of 6 clips can be read"):
        embed_captions(*tiny_model, attach_clips(steps, tmp_path), tmp_path / "e.parquet")
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


@pytest.mark.parametrize(
    ("model_id", "revision", "same"),
    [
        ("me/x", "commit 1", True),
        ("me/x", "commit 2", False),
        ("me/y", "commit 1", False),
        ("a folder", "weights abc", True),
        ("me/x", "weights abd", False),
    ],
)
def test_the_same_model_by_commit_or_by_weights(oracle, model_id, revision, same):
    oracle.describe = lambda: {"name": "me/x", "revision": "commit 1", "weights_sha256": "abc"}
    known = Embeddings(np.zeros(0, np.int64), np.zeros((0, 5), np.float16), model_id, revision, "e.parquet")
    if same:
        return check_same_model(known, oracle)
    said = rf"^e\.parquet has embeddings of {model_id} at {revision}, and the model is me/x"
    with pytest.raises(ValueError, match=said):
        check_same_model(known, oracle)


def test_an_own_encoder_is_its_code_as_well(oracle):
    """Other preprocessing under the same weights gives other embeddings."""
    name, revision = model_identity(oracle.describe())
    assert name == "Oracle" and re.fullmatch(r"weights \w{16} code \w{16}", revision)
    known = Embeddings(np.zeros(0, np.int64), np.zeros((0, 5), np.float16), name, revision, "e.parquet")
    check_same_model(known, oracle)
    other = type("Oracle", (type(oracle),), {"__module__": "elsewhere"})()
    with pytest.raises(ValueError, match="give the model they are of, or embed the clips again"):
        check_same_model(known, other)
