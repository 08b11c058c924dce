# SPDX-License-Identifier: Apache-2.0
"""Reviews as a pull request, loaded by a process that knows nothing of surglavi_hf."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from huggingface_hub import HfApi
from hypothesis import given
from hypothesis import strategies as st

from surglavi_hf.data import SplitOptions, add_to_takedown, split_position
from surglavi_hf.data.apply_reviews import apply_reviews
from surglavi_hf.data.reviews import REVIEWS_NAME, Review, ReviewLog
from surglavi_hf.hub import HubError, push_dataset, push_reviews
from surglavi_hf.hub.reviews_push import published_split_options

FRACTIONS = {"validation_fraction": 0.3, "test_fraction": 0.3}


@pytest.fixture
def own(corpus, tmp_path) -> Path:
    """The drawn corpus, which may be written to."""
    (tmp_path / "corpus").mkdir()
    for path in corpus.glob("*.*"):
        shutil.copy(path, tmp_path / "corpus")
    return tmp_path / "corpus"


@pytest.fixture
def rows(own) -> list[dict]:
    return load_dataset("surglavi", data_dir=str(own), split="train").to_list()


def note(folder: Path, number: int, row: dict, action: str, **after) -> None:
    fields = {"level": row["level"] + 1, "caption": row["caption"] if row["is_enhanced"] else None}
    names = ("start_time", "end_time", "raw_narration", "is_surgical_content", "is_descriptive")
    fields |= {name: row[name] for name in names}
    before = {"delete": fields, "change": {name: fields[name] for name in after}}.get(action, {})
    about = {"caption_id": row["caption_id"], "video_id": row["video_id"], "video_name": row["video_name"]}
    about |= {"id": f"{number:032x}", "time": "2026-01-31T12:00:00.000+00:00", "reviewer": "Ann"}
    ReviewLog(folder / REVIEWS_NAME).append(Review(**about, action=action, before=before, after=after))


def table(content: bytes) -> list[dict]:
    return pq.read_table(pa.BufferReader(content)).to_pylist()


def test_a_pull_request_has_the_reviews_and_all_else_as_it_was(hub_server, own, rows, stranger):
    push_dataset(own, "me/surglavi", splits=SplitOptions(**FRACTIONS))
    repository = hub_server.repositories["datasets/me/surglavi"]
    HfApi().upload_file(path_or_fileobj=b"x", path_in_repo="theirs.svg", repo_id="me/surglavi", repo_type="dataset")
    before = repository["commits"][-1]["files"]
    note(own, 1, rows[0], "change", caption="An entirely new caption.")
    note(own, 2, rows[1], "delete")
    note(own, 3, rows[2], "flag")
    done = push_reviews(own, "me/surglavi")
    assert done.url == f"{hub_server.url}/datasets/me/surglavi/discussions/1"
    assert (done.applied.changed, done.applied.deleted, done.applied.conflicts) == (1, 1, ())
    (request,) = repository["pull_requests"]
    assert (
        request["title"] == "Apply reviews of 2 captions" and request["base"]["id"] == repository["commits"][-1]["id"]
    )
    assert request["description"] == "1 caption changed.\n1 caption deleted.\n\nMade with `surglavi review apply`."
    after = request["commits"][-1]["files"]
    assert repository["commits"][-1]["files"] == before and repository["tags"] == {"v1": 1}
    assert repository["visibility"] == "private"
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == set(done.changed)
    assert not [name for name in done.changed if name.startswith("transcriptions/")] and "theirs.svg" in after
    assert {name.rpartition("-of-")[0] for name in after} == {name.rpartition("-of-")[0] for name in before}
    script = """
import json
from datasets import load_dataset
found = load_dataset("me/surglavi", "all", revision="refs/pr/1")
print(json.dumps({split: {row["caption_id"]: row["caption"] for row in part} for split, part in found.items()}))
"""
    found = json.loads(stranger(script, "surglavi_hf"))
    expected = {}
    for split, part in load_dataset("surglavi", data_dir=str(own), **FRACTIONS).items():
        expected[split] = {str(row["caption_id"]): row["caption"] for row in part.remove_columns("clip")}
    for captions in expected.values():
        captions.pop(str(rows[1]["caption_id"]), None)
        if str(rows[0]["caption_id"]) in captions:
            captions[str(rows[0]["caption_id"])] = "An entirely new caption."
    assert found == {split: captions for split, captions in expected.items() if captions}
    assert not hub_server.errors


def test_nothing_that_differs_is_no_pull_request(hub_server, own, rows):
    push_dataset(own, "me/surglavi")
    note(own, 1, rows[0], "approve")
    done = push_reviews(own, "me/surglavi")
    assert (done.url, done.changed, done.applied.actions) == (None, (), {"approve": 1})
    assert not hub_server.repositories["datasets/me/surglavi"]["pull_requests"]


def test_embeddings_stay_but_for_rows_that_go(hub_server, own, rows, tmp_path):
    ids = [row["caption_id"] for row in rows]
    values = np.random.default_rng(0).uniform(-0.5, 0.5, size=(len(ids), 4)).astype(np.float16)
    columns = {"caption_id": ids, "embedding": list(values), "model_id": ["m"] * len(ids)}
    pq.write_table(pa.table(columns | {"model_revision": ["r"] * len(ids)}), tmp_path / "e.parquet")
    push_dataset(own, "me/surglavi", tmp_path / "e.parquet", splits=SplitOptions(test_fraction=0.4))
    note(own, 1, rows[0], "change", caption="b")
    assert not [name for name in push_reviews(own, "me/surglavi").changed if name.startswith("embeddings/")]
    note(own, 2, rows[1], "delete")
    note(own, 3, rows[2], "change", start_time=rows[2]["start_time"] + 0.25)
    done = push_reviews(own, "me/surglavi")
    assert done.outdated == 1
    files = hub_server.repositories["datasets/me/surglavi"]["pull_requests"][-1]["commits"][-1]["files"]
    shards = [content for name, content in files.items() if name.startswith("embeddings/")]
    found = {row["caption_id"]: row["embedding"] for content in shards for row in table(content)}
    assert found == {number: value.tolist() for number, value in zip(ids, values, strict=True) if number != ids[1]}
    assert "## Embeddings of clips" in files["README.md"].decode()


def test_what_is_taken_down_is_not_in_it(hub_server, own, rows, tmp_path):
    (tmp_path / "list.txt").write_text(f"caption:{rows[0]['caption_id']}\n")
    push_dataset(own, "me/surglavi", takedown=tmp_path / "list.txt")
    note(own, 1, rows[0], "change", caption="Not to be seen.")
    note(own, 2, rows[1], "approve")
    video = next(row for row in rows if row["video_id"] != rows[0]["video_id"])
    add_to_takedown(own / "takedown.txt", video["youtube_id"])
    done = push_reviews(own, "me/surglavi")
    assert done.newly_taken_down.entries() == [video["youtube_id"]]
    (request,) = hub_server.repositories["datasets/me/surglavi"]["pull_requests"]
    files = request["commits"][-1]["files"]
    assert files["takedown.txt"].decode().endswith(f"{video['youtube_id']}\ncaption:{rows[0]['caption_id']}\n")
    found = table(files["all/train-00000-of-00001.parquet"])
    assert not {rows[0]["caption_id"]} & {row["caption_id"] for row in found}
    assert video["youtube_id"] not in {row["youtube_id"] for row in found}
    assert "1 new entries of `takedown.txt`" in request["description"]


def test_whose_repository_it_may_be(hub_server, own, rows):
    """Of others, who decide: where they are to be seen. Not of one who may not be asked."""
    hub_server.tokens["hf_other"] = ("other", "write")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HF_TOKEN", "hf_other")
        push_dataset(own, "other/surglavi", public=True)
        push_dataset(own, "other/shut")
    note(own, 1, rows[0], "change", caption="b")
    assert push_reviews(own, "other/surglavi").url.endswith("/datasets/other/surglavi/discussions/1")
    assert hub_server.repositories["datasets/other/surglavi"]["pull_requests"][0]["author"] == "me"
    for name in ("other/shut", "me/absent"):
        with pytest.raises(ValueError, match=r"is no dataset this login may see; push the corpus with"):
            push_reviews(own, name)
    hub_server.add("datasets/me/empty", {"README.md": b"# Nothing"})
    with pytest.raises(ValueError, match=r"me/empty has no tables of surglavi push-dataset"):
        push_reviews(own, "me/empty")


def test_a_repository_of_other_videos(hub_server, own, rows, tmp_path):
    video = rows[0]
    (tmp_path / "list.txt").write_text(f"{video['youtube_id']}\n")
    push_dataset(own, "me/fewer", takedown=tmp_path / "list.txt")
    api = {"repo_id": "me/fewer", "repo_type": "dataset"}
    HfApi().delete_file("takedown.txt", **api)
    note(own, 1, rows[0], "change", caption="b")
    with pytest.raises(ValueError, match=r"corpus has 1 video that me/fewer has not; is it of another corpus\?"):
        push_reviews(own, "me/fewer")
    path = "videos/train-00000-of-00001.parquet"
    shard = pa.BufferReader(hub_server.repositories["datasets/me/fewer"]["commits"][-1]["files"][path])
    more = pq.read_table(shard).to_pylist()
    content = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pylist([*more, more[0] | {"youtube_id": "AAAAAAAAAAA"}, video_row(own, video)]), content
    )
    HfApi().upload_file(path_or_fileobj=content.getvalue().to_pybytes(), path_in_repo=path, **api)
    with pytest.raises(ValueError, match=r"me/fewer has 1 video that .*corpus has not"):
        push_reviews(own, "me/fewer")
    HfApi().upload_file(path_or_fileobj=b"no table", path_in_repo=path, **api)
    with pytest.raises(ValueError, match=r"videos/train-00000-of-00001.parquet of me/fewer cannot be read"):
        push_reviews(own, "me/fewer")
    assert not hub_server.repositories["datasets/me/fewer"]["pull_requests"]


def video_row(own: Path, row: dict) -> dict:
    videos = load_dataset("surglavi", "videos", data_dir=str(own), split="train")
    return next(video for video in videos if video["video_id"] == row["video_id"])


def test_splits_that_nothing_gives(hub_server, own, rows):
    push_dataset(own, "me/surglavi", splits=SplitOptions(test_fraction=0.4))
    files = hub_server.repositories["datasets/me/surglavi"]["commits"][-1]["files"]
    where = {"repo_id": "me/surglavi", "repo_type": "dataset"}
    for split, other in ("train", "test"), ("test", "train"):
        content = files[f"videos/{split}-00000-of-00001.parquet"]
        HfApi().upload_file(path_or_fileobj=content, path_in_repo=f"videos/{other}-00000-of-00001.parquet", **where)
    note(own, 1, rows[0], "change", caption="b")
    with pytest.raises(
        ValueError, match=r"me/surglavi has splits \(test, train\) that no fractions give; say with --val"
    ):
        push_reviews(own, "me/surglavi")
    done = push_reviews(own, "me/surglavi", SplitOptions(test_fraction=0.4))
    assert {split for _, split in done.rows} == {"train", "test"}


@given(st.floats(0, 0.5), st.floats(0, 0.49), st.integers(1, 200))
def test_splits_are_found_again(test_fraction, validation_fraction, num_videos):
    def split_of(identity: str, options: SplitOptions) -> str:
        place, test_end = split_position(identity), options.test_fraction
        return (
            "test" if place < test_end else "validation" if place < test_end + options.validation_fraction else "train"
        )

    given = SplitOptions(test_fraction=test_fraction, validation_fraction=validation_fraction)
    published = {f"video {number}": split_of(f"video {number}", given) for number in range(num_videos)}
    if "train" not in published.values():
        return
    found = published_split_options(published, "me/x")
    assert {identity: split_of(identity, found) for identity in published} == published
    found.check()


def test_published_fractions_are_named_shortly():
    given = SplitOptions(test_fraction=0.1, validation_fraction=0.2)
    names = [f"video {number}" for number in range(3000)]
    places = {name: split_position(name) for name in names}
    published = {
        name: "test" if at < 0.1 else "validation" if at < 0.1 + 0.2 else "train" for name, at in places.items()
    }
    found = published_split_options(published, "me/x")
    assert (found.test_fraction, round(found.validation_fraction, 9)) == (
        given.test_fraction,
        given.validation_fraction,
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 403, "path": "/commit/"}, "may not write there"),
        (
            {"status": 500, "path": "/commit/"},
            r"the Hub is in trouble.*; before, look whether http.*/discussions has the",
        ),
    ],
)
def test_a_refusal_is_no_pull_request(hub_server, own, rows, fault, message):
    push_dataset(own, "me/surglavi")
    note(own, 1, rows[0], "change", caption="b")
    hub_server.fail(**fault)
    with pytest.raises(HubError, match=message):
        push_reviews(own, "me/surglavi")
    assert not hub_server.repositories["datasets/me/surglavi"]["pull_requests"]


def test_a_pull_request_whose_answer_is_lost_is_not_opened_twice(hub_server, own, rows):
    push_dataset(own, "me/surglavi")
    note(own, 1, rows[0], "change", caption="b")
    hub_server.drop("/commit/", when="after")
    with pytest.raises(HubError, match=r"before, look whether http.*/datasets/me/surglavi/discussions has the pull"):
        push_reviews(own, "me/surglavi")
    assert len(hub_server.repositories["datasets/me/surglavi"]["pull_requests"]) == 1


@pytest.mark.parametrize("path", ["/preupload/", "/objects/", "/resolve/"])
def test_what_may_pass_is_tried_again(hub_server, own, rows, path):
    name = f"me/after-{path.strip('/')}"  # of which no other test has left files in the cache
    push_dataset(own, name)
    note(own, 1, rows[0], "change", caption="b")
    hub_server.fail(503, path=path)
    assert push_reviews(own, name).url and not hub_server.faults


def test_nothing_is_left_on_this_machine(hub_server, own, rows, tmp_path, monkeypatch):
    push_dataset(own, "me/surglavi")
    note(own, 1, rows[0], "change", caption="b")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    cached = {*Path(datasets.config.HF_DATASETS_CACHE).rglob("*.arrow")}
    push_reviews(own, "me/surglavi")
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert cached and {*Path(datasets.config.HF_DATASETS_CACHE).rglob("*.arrow")} == cached


def test_it_starts_from_what_was_read(hub_server, own, rows, monkeypatch):
    """Where somebody pushes meanwhile, the pull request does not undo it unseen."""
    push_dataset(own, "me/surglavi")
    note(own, 1, rows[0], "change", caption="b")
    repository = hub_server.repositories["datasets/me/surglavi"]
    seen = repository["commits"][-1]

    def meanwhile(*arguments):
        HfApi().upload_file(path_or_fileobj=b"x", path_in_repo="new.svg", repo_id="me/surglavi", repo_type="dataset")
        return apply_reviews(*arguments)

    monkeypatch.setattr("surglavi_hf.hub.reviews_push.apply_reviews", meanwhile)
    push_reviews(own, "me/surglavi")
    assert len(repository["commits"]) == 2 and repository["pull_requests"][0]["base"] is seen
