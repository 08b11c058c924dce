# SPDX-License-Identifier: Apache-2.0
import copy
import shutil

import numpy as np
import pytest
import torch
from datasets import concatenate_datasets, load_dataset

from surglavi_hf.data import VideoDecodeError
from surglavi_hf.evaluation import EmbeddingOptions, build_search_index, embed_clips, embed_texts, search
from surglavi_hf.evaluation.clip_embeddings import claimed
from surglavi_hf.evaluation.search import _found, check_index, has_index, read_index

TEXT = "clip the cystic duct"


@pytest.fixture(scope="module")
def table(corpus):
    return load_dataset("surglavi", "task", data_dir=str(corpus), split="train").select(range(12))


@pytest.fixture(scope="module")
def index(table, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "index"
    # Two captions of one interval are one clip.
    build_search_index(*tiny_model, concatenate_datasets([table, table.select([0])]), folder)
    return folder


def test_the_best_clips_come_first(index, table, tiny_model):
    model, processor = tiny_model
    scores = (embed_clips(model, processor, table).embeds @ embed_texts(model, processor, [TEXT])[0]).numpy()
    found = search(model, processor, index, TEXT, top=3)
    best = np.argsort(-scores)[:3]
    assert [clip.start_time for clip in found] == [table[int(row)]["start_time"] for row in best]
    assert [clip.score for clip in found] == pytest.approx(scores[best].tolist(), abs=1e-5)
    row = table[int(best[0])]
    assert (found[0].title, found[0].caption, found[0].video_name) == (row["title"], row["caption"], row["video_name"])
    assert found[0].clip.frames(2).shape[0] == 2
    assert found[0].url == f"https://youtu.be/{row['youtube_id']}?t={int(row['start_time'])}"
    assert len(search(model, processor, index, TEXT, top=100)) == 12


@pytest.mark.parametrize("written", ["dQw4w9WgXcQ ", "https://m.youtube.com/watch?v=dQw4w9WgXcQ&list=PL1"])
def test_the_link_of_an_id_however_it_is_written(table, written):
    assert _found(table[0] | {"youtube_id": written, "start_time": 7.5}, 1.0).url == "https://youtu.be/dQw4w9WgXcQ?t=7"
    assert _found(table[0] | {"youtube_id": "no id"}, 1.0).url is None


def test_it_goes_on_where_it_was_stopped(corpus, tiny_model, tmp_path, stopping):
    table = load_dataset("surglavi", "task", data_dir=str(corpus), split="train")
    encoder = stopping(*tiny_model, after=2)
    with pytest.raises(KeyboardInterrupt):
        build_search_index(encoder, None, table, tmp_path / "index")
    assert not has_index(tmp_path / "index")
    with pytest.raises(FileNotFoundError, match="no finished search index"):
        search(*tiny_model, tmp_path / "index", TEXT)
    encoder = stopping(*tiny_model)
    count = build_search_index(encoder, None, table, tmp_path / "index")
    videos = dict.fromkeys(table["video_name"])
    assert count == len(table) and len(encoder.passes) == len(videos) - 2
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["clips", "clips.faiss", "index.json"]
    build_search_index(*tiny_model, table, tmp_path / "new")
    assert search(*tiny_model, tmp_path / "index", TEXT) == search(*tiny_model, tmp_path / "new", TEXT)


def test_clips_that_cannot_be_read_are_left_out(corpus, tiny_model, tmp_path):
    shutil.copytree(corpus, tmp_path / "corpus")
    table = load_dataset("surglavi", "phase", data_dir=str(tmp_path / "corpus"), split="train")
    names = table["video_name"]
    (tmp_path / "corpus" / "videos" / names[0] / f"{names[0]}.mp4").write_bytes(b"broken")
    shutil.rmtree(tmp_path / "corpus" / "frames", ignore_errors=True)
    count = build_search_index(*tiny_model, table, tmp_path / "index")
    assert 0 < count == sum(name != names[0] for name in names)
    listed = read_index(tmp_path / "index")["unreadable"]
    lost = [row["caption_id"] for row in table if row["video_name"] == names[0]]
    assert [clip["caption_id"] for clip in listed] == lost and f"{names[0]}.mp4" in listed[0]["reason"]
    assert str(tmp_path) not in (tmp_path / "index" / "index.json").read_text()
    with pytest.raises(VideoDecodeError, match="a clip cannot be read"):
        build_search_index(*tiny_model, table, tmp_path / "strict", EmbeddingOptions(strict=True))
    with pytest.raises(ValueError, match=r"none of .* clips can be read"):
        build_search_index(*tiny_model, table.filter(lambda row: row["video_name"] == names[0]), tmp_path / "none")
    assert not (tmp_path / "none").exists() and not (tmp_path / "strict").exists()


def test_two_builders_exclude_each_other(table, tiny_model, tmp_path):
    with (
        claimed(tmp_path / "index" / ".surglavi-index-parts"),
        pytest.raises(FileExistsError, match=r"another process is at work in .*index"),
    ):
        build_search_index(*tiny_model, table, tmp_path / "index")
    assert build_search_index(*tiny_model, table, tmp_path / "index") == 12


def test_no_damage_passes_for_an_index(index, tiny_model, tmp_path):
    """Of 1,000 flipped bits each is an error that names the file, or changes nothing that is found."""
    folder, generator = shutil.copytree(index, tmp_path / "index"), np.random.default_rng(0)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    written = {path: path.read_bytes() for path in files}
    sizes = np.array([len(content) for content in written.values()])
    for path, flips in zip(files, np.maximum(1000 * sizes // sizes.sum(), 50), strict=True):
        for bit in generator.choice(8 * len(written[path]), flips, replace=False):
            damaged = bytearray(written[path])
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"; delete .*index and build the index again") as caught:
                check_index(folder)
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        path.write_bytes(written[path])
    (folder / "clips.faiss").write_bytes(written[folder / "clips.faiss"][:-1])
    with pytest.raises(ValueError, match=r"clips\.faiss is not as it was written; delete"):
        search(*tiny_model, folder, TEXT)
    (folder / "clips.faiss").unlink()
    with pytest.raises(ValueError, match=r"clips\.faiss is not there; delete"):
        search(*tiny_model, folder, TEXT)


def test_what_is_refused(index, table, tiny_model, tmp_path):
    model, processor = tiny_model
    with pytest.raises(FileExistsError, match="has an index or other files already"):
        build_search_index(model, processor, table, index)
    (tmp_path / "mine" / "parts").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        build_search_index(model, processor, table, tmp_path / "mine")
    with pytest.raises(ValueError, match="the dataset is empty"):
        build_search_index(model, processor, table.select([]), tmp_path / "new")
    with pytest.raises(ValueError, match="expected words and a whole number >= 1"):
        search(model, processor, index, "  ")
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(other.temp)
    with pytest.raises(ValueError, match="was made with other weights"):
        search(other, processor, index, TEXT)
