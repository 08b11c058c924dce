# SPDX-License-Identifier: Apache-2.0
import shutil
from importlib import import_module

import numpy as np
import pytest
from datasets import load_dataset

from surglavi_hf.data import VideoDecodeError
from surglavi_hf.evaluation import embed_clips
from surglavi_hf.evaluation.embed_readable import claimed, distinct_rows, embed_readable

module = import_module("surglavi_hf.evaluation.embed_readable")  # whose name is also its function's


@pytest.fixture
def broken(corpus, tmp_path):
    """Rows of several videos, the first of which cannot be read."""
    folder = shutil.copytree(corpus, tmp_path / "corpus")
    rows = load_dataset("surglavi", "step", data_dir=str(folder), split="train").select(range(18))
    name = rows[0]["video_name"]
    (folder / "videos" / name / f"{name}.mp4").write_bytes(b"broken")
    return rows


@pytest.fixture
def calls(monkeypatch):
    """How many clips each call of embed_clips could read."""
    counts = []

    def embed(*arguments, **options):
        found = embed_clips(*arguments, **options)
        counts.append(len(found.rows))
        return found

    monkeypatch.setattr(module, "embed_clips", embed)
    monkeypatch.setattr(module, "_PART", 10)
    return counts


@pytest.fixture
def parts(tmp_path):
    with claimed(tmp_path / "parts") as parts:
        yield parts


def test_clips_that_cannot_be_read_leave_the_others_together(broken, tiny_model, parts, calls):
    found = embed_readable(*tiny_model, broken, parts)
    unreadable = [row for row, name in enumerate(broken["video_name"]) if name == broken[0]["video_name"]]
    assert 0 < len(unreadable) < 10 and found.rows == sorted({*range(len(broken))} - {*unreadable})
    expected = embed_clips(*tiny_model, broken.select(found.rows)).embeds
    assert (found.embeds - expected).abs().max() < 1e-5
    assert list(found.unreadable) == unreadable and broken[0]["video_name"] in found.unreadable[0]
    assert calls == [10 - len(unreadable), 8], "each part in one go"
    with pytest.raises(VideoDecodeError, match="a clip cannot be read"):
        embed_readable(*tiny_model, broken, parts, strict=True)


def test_what_is_embedded_is_not_embedded_again(broken, tiny_model, parts, calls):
    first = embed_readable(*tiny_model, broken, parts)
    calls.clear()
    again = embed_readable(*tiny_model, broken, parts)
    assert calls == [0] and first.rows == again.rows and first.unreadable == again.unreadable
    assert np.array_equal(first.embeds, again.embeds)


def test_what_can_be_read_by_now_is_added(broken, corpus, tiny_model, tmp_path, parts, calls):
    embed_readable(*tiny_model, broken, parts)
    name = broken[0]["video_name"]
    shutil.copy(corpus / "videos" / name / f"{name}.mp4", tmp_path / "corpus" / "videos" / name / f"{name}.mp4")
    calls.clear()
    found = embed_readable(*tiny_model, broken, parts)
    assert found.rows == list(range(len(broken))) and 0 < sum(calls) < len(broken)
    assert (found.embeds - embed_clips(*tiny_model, broken).embeds).abs().max() < 1e-5


def test_other_videos_are_other_clips(broken, tiny_model, parts, calls):
    """Whatever their times."""
    rows = broken.select(range(10, 12))
    embed_readable(*tiny_model, rows, parts)
    names = sorted({*broken["video_name"]} - {broken[0]["video_name"], rows[0]["video_name"]})
    other = rows.map(lambda row: {"video_name": names[0]})
    calls.clear()
    embed_readable(*tiny_model, other, parts)
    assert calls == [2]


def test_no_damage_passes_for_a_part(broken, tiny_model, parts):
    """Of 1,000 flipped bits each is an error that names the file, or changes nothing that is read."""
    rows = broken.select(range(10, 14))
    embeds = embed_readable(*tiny_model, rows, parts).embeds.numpy()
    (path,) = parts.glob("*.npz")
    written, generator, refused = path.read_bytes(), np.random.default_rng(0), 0
    for bit in generator.choice(8 * len(written), 1000, replace=False):
        damaged = bytearray(written)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            read = module._read_part(path, path.stem)
        except ValueError as error:
            assert f"{path} cannot be read" in str(error) and str(error).endswith("; delete it")
            assert "\n" not in str(error)
            refused += 1
        else:
            assert list(read) == [0, 1, 2, 3] and np.array_equal(np.stack(list(read.values())), embeds)
    assert refused > 500
    with pytest.raises(ValueError, match=r"\.npz cannot be read .*; delete it"):
        embed_readable(*tiny_model, rows, parts)
    path.write_bytes(written)
    with pytest.raises(ValueError, match=r"not as it was written.*; delete it"):
        module._read_part(path, "0" * 16)  # under another part's name


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
        (parts / "a.npz").touch()
        raise KeyboardInterrupt
    assert (parts / "a.npz").is_file()
    with claimed(parts):
        pass
    assert not parts.exists()


def test_distinct_rows(corpus):
    rows = load_dataset("surglavi", "step", data_dir=str(corpus), split="train")
    assert distinct_rows(rows.select([3, 0, 3, 1, 0])) == [0, 1, 3]
    with pytest.raises(ValueError, match="the dataset is empty"):
        distinct_rows(rows.select([]))
