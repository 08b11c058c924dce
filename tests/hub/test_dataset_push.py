# SPDX-License-Identifier: Apache-2.0
"""Pushed tables, loaded by a process that knows nothing of surglavi_hf."""

import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard, HfApi

from surglavi_hf.cli import main
from surglavi_hf.data import CONFIGS, DATABASE_NAME, SplitOptions
from surglavi_hf.hub import HubError, push_dataset
from surglavi_hf.hub.card_text import BEGIN, template

FRACTIONS = {"validation_fraction": 0.3, "test_fraction": 0.3}
LOAD = """
import json
from datasets import load_dataset
found = {}
for config in CONFIGS:
    for streaming in (False, True):
        splits = load_dataset("me/surglavi", config, streaming=streaming, revision=REVISION)
        found[f"{config} {streaming}"] = {name: list(part) for name, part in splits.items()}
print(json.dumps(found))
"""


def load(stranger, configs=CONFIGS, revision: str | None = None) -> dict:
    script = LOAD.replace("CONFIGS", repr(tuple(configs))).replace("REVISION", repr(revision))
    return json.loads(stranger(script, "surglavi_hf"))


@pytest.fixture
def repository(hub_server):
    return lambda: hub_server.repositories["datasets/me/surglavi"]


@pytest.fixture
def embeddings(corpus, tmp_path):
    ids = load_dataset("surglavi", data_dir=str(corpus), split="train")["caption_id"][:]
    values = np.random.default_rng(0).uniform(-0.5, 0.5, size=(len(ids), 4)).astype(np.float16)
    rows = {"caption_id": ids, "embedding": list(values), "model_id": ["me/surgclip"] * len(ids)}
    pq.write_table(pa.table(rows | {"model_revision": ["abc123"] * len(ids)}), tmp_path / "e.parquet")
    return tmp_path / "e.parquet"


def test_a_stranger_loads_every_config_as_it_is(hub_server, corpus, stranger):
    done = push_dataset(corpus, "me/surglavi", splits=SplitOptions(**FRACTIONS))
    assert done.pushed.tag == "v1" and {split for _, split in done.rows} == {"train", "validation", "test"}
    found = load(stranger, revision="v1")
    for config in CONFIGS:
        for name, part in load_dataset("surglavi", config, data_dir=str(corpus), **FRACTIONS).items():
            part = part.remove_columns([column for column in ("clip", "file") if column in part.column_names])
            assert found[f"{config} False"].get(name, []) == list(part), "but a split without rows is not there"
            assert found[f"{config} True"].get(name, []) == list(part), "streamed"
            assert done.rows.get((config, name), 0) == len(part)
    assert not hub_server.errors


def test_with_the_package_clips_come_back(hub_server, corpus, stranger):
    push_dataset(corpus, "me/surglavi")
    script = f"""
from datasets import load_dataset
import surglavi_hf
rows = load_dataset("me/surglavi", "phase", split="train")
assert "clip" not in rows.features
row = surglavi_hf.attach_clips(rows, {str(corpus)!r})[3]
streamed = load_dataset("me/surglavi", "phase", split="train", streaming=True)
assert list(surglavi_hf.attach_clips(streamed, {str(corpus)!r}).take(4))[3] == row
print(row["caption_id"], row["clip"].frames(4).float().mean().item())
"""
    caption_id, mean = stranger(script).split()
    row = load_dataset("surglavi", "phase", data_dir=str(corpus), split="train")[3]
    assert int(caption_id) == row["caption_id"]
    assert float(mean) == row["clip"].frames(4).float().mean().item()


def test_the_same_data_twice_is_one_commit(corpus, repository):
    first = push_dataset(corpus, "me/surglavi")
    again = push_dataset(corpus, "me/surglavi")
    assert (again.pushed.changed, again.pushed.commit) == ((), first.pushed.commit)
    assert len(repository()["commits"]) == 1 and repository()["tags"] == {"v1": 1}


def test_the_tables_of_others_stay(corpus, repository):
    push_dataset(corpus, "me/surglavi")
    path = "annotations/train-00000-of-00001.parquet"
    HfApi().upload_file(path_or_fileobj=b"x", path_in_repo=path, repo_id="me/surglavi", repo_type="dataset")
    push_dataset(corpus, "me/surglavi", splits=SplitOptions(test_fraction=0.3))
    assert path in repository()["commits"][-1]["files"]


def test_other_splits_replace_the_files(corpus, repository, stranger):
    push_dataset(corpus, "me/surglavi", splits=SplitOptions(**FRACTIONS))
    HfApi().upload_file(
        path_or_fileobj=b"theirs", path_in_repo="figure.svg", repo_id="me/surglavi", repo_type="dataset"
    )
    push_dataset(corpus, "me/surglavi")
    files = repository()["commits"][-1]["files"]
    assert {name.split("-")[0] for name in files if name.endswith(".parquet")} == {f"{c}/train" for c in CONFIGS}
    assert "figure.svg" in files and len(repository()["commits"]) == 3
    expected = load_dataset("surglavi", "step", data_dir=str(corpus), split="train")
    assert len(load(stranger, ["step"])["step False"]["train"]) == len(expected)
    assert len(load(stranger, ["step"], "v1")["step False"]["train"]) < len(expected), "a version stays what it was"


@pytest.mark.parametrize("own", [True, False])
def test_the_card(corpus, repository, hub_server, tmp_path, own):
    """Of the demo's corpus, which says what it is; and of SurgLaVi, which has no file that does."""
    if not own:
        (tmp_path / "corpus").mkdir()
        shutil.copy(corpus / DATABASE_NAME, tmp_path / "corpus")
        corpus = tmp_path / "corpus"
    push_dataset(corpus, "me/surglavi")
    files = repository()["commits"][-1]["files"]
    card = DatasetCard(files["README.md"].decode())
    assert DatasetCard.load("me/surglavi").validate() is None
    assert {config["config_name"] for config in card.data.configs} == set(CONFIGS)
    info = {info["config_name"]: info for info in card.data.dataset_info}
    for config in CONFIGS:
        rows = load_dataset("surglavi", config, data_dir=str(corpus), split="train")
        assert info[config]["splits"][0]["num_examples"] == len(rows)
        assert f"| `{config}` | train | {len(rows):,} |" in card.text
        assert info[config]["download_size"] == len(files[f"{config}/train-00000-of-00001.parquet"])
    assert card.data.size_categories == ["n<1K"]
    assert card.data.license == ("apache-2.0" if own else "cc-by-nc-sa-4.0")
    sections = ("With the videos", "Takedown") if own else ("How to get the videos", "Takedown", "Limits", "Citation")
    for section in ("Columns", "Licence", *sections):
        assert f"## {section}" in card.text
    assert "$" not in card.text and 'load_dataset("me/surglavi", ' in card.text
    of_surglavi = ("SurgLaVi", "YouTube", "arxiv", "2509.10555", "Perez", "nc-sa", "aleperez24")
    said = files["README.md"].decode().replace(template("columns.md").template, "").replace("me/surglavi", "")
    assert own != any(word in said for word in of_surglavi)
    assert ("# Drawn procedures" in card.text) == own
    named = set(re.findall(r"`([a-z_]+)`", card.text))
    assert set(load_dataset("surglavi", data_dir=str(corpus), split="train").features) - {"clip"} <= named
    assert set(load_dataset("surglavi", "videos", data_dir=str(corpus), split="train").features) <= named


def test_the_snippets_of_the_card_run(corpus, repository, stranger):
    push_dataset(corpus, "me/surglavi")
    blocks = re.findall(r"```python\n(.*?)```", repository()["commits"][-1]["files"]["README.md"].decode(), re.DOTALL)
    assert len(blocks) == 2
    stranger(blocks[0], "surglavi_hf")
    both = "\n".join(blocks).replace('"DIR"', repr(str(corpus)))
    assert "(16, 3, 96, 96)" in stranger(f"{both}\nprint(tuple(frames.shape))")


def test_nothing_of_this_machine_is_pushed(corpus, repository, embeddings):
    push_dataset(corpus, "me/surglavi", embeddings)
    for name, content in repository()["commits"][-1]["files"].items():
        assert str(corpus).encode() not in content and b"ftyp" not in content, name


def test_embeddings(corpus, stranger, repository, embeddings):
    push_dataset(corpus, "me/surglavi", embeddings, splits=SplitOptions(test_fraction=0.3))
    found = load(stranger, ["all", "embeddings"])
    known = pq.read_table(embeddings)
    expected = dict(zip(known["caption_id"].to_pylist(), known["embedding"].to_pylist(), strict=True))
    for split, rows in found["embeddings False"].items():
        assert [row["caption_id"] for row in rows] == [row["caption_id"] for row in found["all False"][split]]
        assert all(row["embedding"] == expected[row["caption_id"]] for row in rows)
        assert {(row["model_id"], row["model_revision"]) for row in rows} == {("me/surgclip", "abc123")}
    assert found["embeddings True"] == found["embeddings False"]
    assert "## Embeddings of clips" in repository()["commits"][-1]["files"]["README.md"].decode()
    done = push_dataset(corpus, "me/surglavi", splits=SplitOptions(test_fraction=0.3))
    assert {name for name in done.pushed.changed if "embeddings" in name} and "embeddings" not in str(done.rows)


def test_embeddings_of_other_captions(corpus, tmp_path, hub_server):
    rows = {"caption_id": [10**9], "embedding": [[0.5, -0.5]], "model_id": ["a"], "model_revision": ["b"]}
    pq.write_table(pa.table(rows), tmp_path / "e.parquet")
    with pytest.raises(
        ValueError, match=r"none of the 1 embeddings of .*e\.parquet is of a caption that is published"
    ):
        push_dataset(corpus, "me/surglavi", tmp_path / "e.parquet")


def test_what_is_taken_down_stays_down(corpus, tmp_path, repository, embeddings):
    rows = load_dataset("surglavi", data_dir=str(corpus), split="train")
    push_dataset(corpus, "me/surglavi", embeddings)
    video, caption = rows[0]["youtube_id"], next(row for row in rows if row["youtube_id"] != rows[0]["youtube_id"])
    (tmp_path / "list.txt").write_text(f"# letter of 2 May\n{video}\n")
    done = push_dataset(corpus, "me/surglavi", embeddings, tmp_path / "list.txt")
    assert done.newly_taken_down.entries() == [video]
    (tmp_path / "list.txt").write_text(f"caption:{caption['caption_id']}\n")
    done = push_dataset(corpus, "me/surglavi", embeddings, tmp_path / "list.txt")
    assert (len(done.newly_taken_down), len(done.takedown)) == (1, 2)
    done = push_dataset(corpus, "me/surglavi", embeddings)  # which names no list
    assert done.pushed.changed == () and not len(done.newly_taken_down)
    files = repository()["commits"][-1]["files"]
    assert files["takedown.txt"].decode().endswith(f"{video}\ncaption:{caption['caption_id']}\n")
    gone = {row["caption_id"] for row in rows if row["youtube_id"] == video} | {caption["caption_id"]}
    for name, content in files.items():
        if name.endswith(".parquet"):
            table = pq.read_table(pa.BufferReader(content)).to_pylist()
            assert table and not gone & {row.get("caption_id") for row in table} - {None}
            assert not gone & {row.get("parent_caption_id") for row in table} - {None}
            assert video not in {row.get("youtube_id") for row in table}
    left = sum(row["caption_id"] not in gone for row in rows)
    assert done.rows["all", "train"] == done.rows["embeddings", "train"] == left
    assert "2 entries of `takedown.txt` are left out" in files["README.md"].decode()


def test_words_in_the_card_stay(corpus, repository):
    push_dataset(corpus, "me/surglavi")
    text = repository()["commits"][-1]["files"]["README.md"].decode().replace(BEGIN, f"Our words.\n\n{BEGIN}")
    text = text.replace("license: apache-2.0", "license: apache-2.0\nviewer: true")
    HfApi().upload_file(
        path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="me/surglavi", repo_type="dataset"
    )
    push_dataset(corpus, "me/surglavi", splits=SplitOptions(test_fraction=0.3))
    card = DatasetCard(repository()["commits"][-1]["files"]["README.md"].decode())
    assert "Our words." in card.text and card.data["viewer"] is True
    assert "test" in {split["name"] for info in card.data.dataset_info for split in info["splits"]}


def test_a_shard_that_breaks_off_in_the_middle_is_loaded(corpus, hub_server, stranger):
    push_dataset(corpus, "me/surglavi")
    hub_server.cut(".parquet", after_bytes=2000, method="GET")
    found = load(stranger, ["all"])
    assert found["all False"]["train"] == found["all True"]["train"] != [] and not hub_server.faults


def test_a_shard_that_the_hub_does_not_give_is_an_error_and_the_next_try_loads(corpus, hub_server, stranger):
    push_dataset(corpus, "me/surglavi")
    hub_server.fail(503, path=".parquet", method="GET")
    printed = stranger("""
from datasets import load_dataset
try:
    load_dataset("me/surglavi", "step")
except OSError as error:
    print("503" in str(error))
print(len(load_dataset("me/surglavi", "step", split="train")))
""")
    assert printed.split() == ["True", str(len(load_dataset("surglavi", "step", data_dir=str(corpus), split="train")))]


def test_a_refusal_changes_nothing(corpus, hub_server, repository):
    push_dataset(corpus, "me/surglavi")
    hub_server.fail(403, path="/commit/")
    with pytest.raises(HubError, match="may not write there"):
        push_dataset(corpus, "me/surglavi", splits=SplitOptions(test_fraction=0.3))
    assert len(repository()["commits"]) == 1 and repository()["tags"] == {"v1": 1}


def test_the_guard_stops_the_push(corpus, hub_server, monkeypatch):
    monkeypatch.setattr("surglavi_hf.hub.dataset_tables._LOCAL", ())  # the clip column would go along
    with pytest.raises(ValueError, match="is not pushed: column clip is none of SurgLaVi's"):
        push_dataset(corpus, "me/surglavi")
    assert not hub_server.repositories


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data-dir", "/nowhere", "--repo-id", "me/surglavi"], "no database at /nowhere"),
        (["--repo-id", "surglavi"], "expected NAME/REPOSITORY"),
        (["--repo-id", "me/surglavi", "--test-fraction", "1.5"], "expected fractions >= 0"),
        (["--repo-id", "me/surglavi", "--takedown", "/nowhere.txt"], "/nowhere.txt"),
        (["--repo-id", "me/surglavi", "--embeddings", "/nowhere.parquet"], "no embeddings at /nowhere.parquet"),
        (["--repo-id", "other/surglavi"], "this login may not write there"),
    ],
)
def test_wrong_input(corpus, hub_server, capsys, arguments, message):
    arguments = arguments if "--data-dir" in arguments else ["--data-dir", str(corpus), *arguments]
    assert main(["push-dataset", *arguments]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error and error.startswith("surglavi push-dataset: error: ")
    assert not hub_server.repositories


def test_nothing_is_left_to_push(corpus, hub_server, tmp_path):
    videos = load_dataset("surglavi", "videos", data_dir=str(corpus), split="train")
    (tmp_path / "list.txt").write_text("\n".join(videos["name"]))
    with pytest.raises(ValueError, match="has no clip-caption pairs to publish"):
        push_dataset(corpus, "me/surglavi", takedown=tmp_path / "list.txt")
    assert not hub_server.repositories


def test_the_command(corpus, hub_server, repository, capsys, tmp_path):
    (tmp_path / "list.txt").write_text("nobody-has-this\n")
    arguments = ["push-dataset", "--data-dir", str(corpus), "--repo-id", "me/surglavi"]
    assert main([*arguments, "--public", "--tag", "2026.1", "--takedown", str(tmp_path / "list.txt")]) == 0
    printed = capsys.readouterr().out
    assert "/datasets/me/surglavi (public) at 2026.1, commit " in printed and "new entries" not in printed
    assert "list.txt name nothing in this database (nobody-has-this); expected YouTube ids" in printed
    assert repository()["visibility"] == "public" and repository()["tags"] == {"2026.1": 1}
    assert main([*arguments, "--public"]) == 0
    assert "nothing had changed" in capsys.readouterr().out
    videos = load_dataset("surglavi", "videos", data_dir=str(corpus), split="train")
    (tmp_path / "list.txt").write_text(videos[0]["name"])
    assert main([*arguments, "--public", "--takedown", str(tmp_path / "list.txt")]) == 0
    printed = capsys.readouterr().out
    assert "2 new entries of the takedown list. Earlier commits and tags still have" in printed, "its name and its id"
    assert videos[0]["youtube_id"] in repository()["commits"][-1]["files"]["takedown.txt"].decode()
