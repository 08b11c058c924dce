# SPDX-License-Identifier: Apache-2.0
"""The small Hub, asked by the real clients, in processes of their own."""

import hashlib
import subprocess
import sys

import pytest

from .conftest import client_environment
from .hub_server import HubServer

CARD = """---
license: cc-by-nc-sa-4.0
configs:
- config_name: a
  data_files: a/*.parquet
- config_name: b
  data_files:
  - split: train
    path: b/train.parquet
---
# Data
"""
START = """
import hashlib, io, os, sys
from pathlib import Path
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub import errors
api = HfApi()

def fails(kind, status, action, *arguments, **options):
    try:
        action(*arguments, **options)
    except errors.HfHubHTTPError as error:
        assert type(error).__name__ == kind and error.response.status_code == status, repr(error)
        return str(error)
    raise AssertionError("it does not fail")
"""


@pytest.fixture
def hub():
    server = HubServer()
    yield server
    server.close()
    assert not server.errors


@pytest.fixture
def run(hub, tmp_path):
    """Runs a script in a process for which this is the Hub, with an empty cache and an empty folder to work in."""

    def run(script: str) -> None:
        environment = client_environment(hub.url, tmp_path / "home")
        (tmp_path / "work").mkdir(exist_ok=True)
        command = [sys.executable, "-W", "ignore", "-c", START + script]
        done = subprocess.run(
            command, cwd=tmp_path / "work", env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr[-4000:]

    return run


def test_huggingface_hub_pushes_and_loads(hub, run):
    hub.page_size = 2
    run("""
folder = Path("folder")
(folder / "sub").mkdir(parents=True)
(folder / "README.md").write_text("---\\nlicense: mit\\n---\\nfirst")
(folder / "sub" / "weights.bin").write_bytes(bytes(range(256)) * 5000)
(folder / "empty.txt").touch()
assert api.whoami()["name"] == "me"
for kind, prefix in ("model", ""), ("dataset", "datasets/"):
    url = api.create_repo("me/x", repo_type=kind, private=True)
    assert (url.repo_type, url.repo_id) == (kind, "me/x") and str(url).endswith(f"/{prefix}me/x")
    assert api.create_repo("me/x", repo_type=kind, exist_ok=True) == url
    fails("HfHubHTTPError", 409, api.create_repo, "me/x", repo_type=kind)
    where = {"repo_id": "me/x", "repo_type": kind}
    assert api.list_repo_files(**where) == [".gitattributes"]
    start = api.repo_info(**where).sha
    first = api.upload_folder(**where, folder_path=folder, commit_message="First")
    assert f"/{prefix}me/x/commit/{first.oid}" in first.commit_url and len(first.oid) == 40
    api.create_tag(**where, tag="v1/a b")
    again = api.upload_folder(**where, folder_path=folder, commit_message="Again")
    assert again.oid == first.oid
    operation = CommitOperationAdd("README.md", b"---\\nlicense: mit\\n---\\nsecond")
    add = lambda **more: api.create_commit(**where, operations=[operation], commit_message="Second", **more)
    fails("HfHubHTTPError", 412, add, parent_commit=start)
    second = add(parent_commit=first.oid)
    for revision, text in ("v1/a b", "first"), ("main", "second"), (first.oid, "first"), (second.oid, "second"):
        path = Path(api.hf_hub_download(**where, filename="README.md", revision=revision))
        assert path.read_text().endswith(text) and path.parent.name in (first.oid, second.oid)
        path = api.hf_hub_download(**where, filename="sub/weights.bin", revision=revision)
        assert Path(path).read_bytes() == (folder / "sub" / "weights.bin").read_bytes()
    snapshot = Path(api.snapshot_download(**where, revision="v1/a b"))
    assert (snapshot / "sub" / "weights.bin").is_file() and (snapshot / "empty.txt").read_bytes() == b""
    assert [commit.commit_id for commit in api.list_repo_commits(**where)] == [second.oid, first.oid, start]
    assert [tag.target_commit for tag in api.list_repo_refs(**where).tags] == [first.oid]
    fails("HfHubHTTPError", 409, api.create_tag, **where, tag="v1/a b")
    info = api.repo_info(**where, files_metadata=True)
    assert info.private and not info.gated and info.sha == second.oid and info.card_data.license == "mit"
    sizes = {file.rfilename: (file.size, file.lfs and file.lfs.sha256) for file in info.siblings}
    digest = hashlib.sha256((folder / "sub" / "weights.bin").read_bytes()).hexdigest()
    assert sizes["sub/weights.bin"] == (1280000, digest) and sizes["empty.txt"] == (0, None)
    entries = {entry.path: entry for entry in api.list_repo_tree(**where, recursive=True, expand=True)}
    assert sorted(entries) == sorted([*sizes, "sub"])
    assert entries["sub"].last_commit.oid == first.oid and entries["README.md"].last_commit.oid == second.oid
    assert [entry.path for entry in api.list_repo_tree(**where, path_in_repo="sub")] == ["sub/weights.bin"]
    fails("RemoteEntryNotFoundError", 404, lambda: list(api.list_repo_tree(**where, path_in_repo="none")))
    found = api.get_paths_info(**where, paths=["sub", "none", "README.md"])
    assert [entry.path for entry in found] == ["sub", "README.md"]
    operations = [CommitOperationAdd("new", b"1"), CommitOperationDelete("none")]
    fails("RemoteEntryNotFoundError", 404, api.create_commit, **where, operations=operations, commit_message="Third")
    assert api.repo_info(**where).sha == second.oid
    api.delete_folder("sub", **where)
    api.delete_file("empty.txt", **where)
    api.delete_tag(**where, tag="v1/a b")
    fails("RevisionNotFoundError", 404, api.hf_hub_download, **where, filename="README.md", revision="v1/a b")
    fails("RemoteEntryNotFoundError", 404, api.hf_hub_download, **where, filename="sub/weights.bin")
    assert not api.file_exists(**where, filename="empty.txt") and api.file_exists(**where, filename="README.md")
    api.update_repo_settings(**where, visibility="public")
    assert not api.repo_info(**where, token=False).private
api.delete_repo("me/x")
assert not api.repo_exists("me/x") and api.repo_exists("me/x", repo_type="dataset")
""")
    dataset = hub.repositories["datasets/me/x"]
    assert [commit["message"] for commit in dataset["commits"]][:2] == ["First", "Second"]
    assert list(dataset["commits"][-1]["files"]) == [".gitattributes", "README.md"]
    assert len([line for line in hub.requests if line.startswith("PUT /objects/")]) == 1, "it is there already"


def test_pull_requests(hub, run):
    hub.add("datasets/other/x", {"README.md": b"---\nlicense: mit\n---\nfirst", "a.bin": b"\0" * 3000, "gone": b"g"})
    hub.add("datasets/other/shut", visibility="private")
    hub.tokens["hf_reader"] = ("me", "read")
    run("""
where = {"repo_id": "other/x", "repo_type": "dataset"}
start = api.repo_info(**where).sha

def operations(text):
    card = CommitOperationAdd("README.md", f"---\\nlicense: mit\\n---\\n{text}".encode())
    return [card, CommitOperationAdd("b.bin", b"\\0" * 5000), CommitOperationDelete("gone")]

def propose(text, **more):
    about = where | {"commit_message": f"Say {text}", "commit_description": "It\\nis better."} | more
    return api.create_commit(operations=operations(text), create_pr=True, **about)

fails("HfHubHTTPError", 403, api.create_commit, **where, operations=operations("no"), commit_message="No")
fails("HfHubHTTPError", 403, propose, "no", token="hf_reader")
fails("RepositoryNotFoundError", 404, propose, "no", repo_id="other/shut")
fails("RevisionNotFoundError", 404, propose, "no", parent_commit="0" * 40)
first = propose("second", parent_commit=start)
assert (first.pr_num, first.pr_revision) == (1, "refs/pr/1")
assert first.pr_url == f"{os.environ['HF_ENDPOINT']}/datasets/other/x/discussions/1"
assert propose("third").pr_num == 2
assert api.repo_info(**where).sha == start and "gone" in api.list_repo_files(**where)
info = api.repo_info(**where, revision="refs/pr/1", files_metadata=True)
assert info.sha == first.oid and {file.rfilename for file in info.siblings} >= {"README.md", "a.bin", "b.bin"}
assert sorted(api.list_repo_files(**where, revision="refs/pr/1")) == [".gitattributes", "README.md", "a.bin", "b.bin"]
for revision, text in ("refs/pr/1", "second"), ("refs/pr/2", "third"), (first.oid, "second"), ("main", "first"):
    assert Path(api.hf_hub_download(**where, filename="README.md", revision=revision)).read_text().endswith(text)
assert Path(api.hf_hub_download(**where, filename="b.bin", revision="refs/pr/1")).stat().st_size == 5000
fails("RevisionNotFoundError", 404, api.repo_info, **where, revision="refs/pr/3")
refs = api.list_repo_refs(**where, include_pull_requests=True).pull_requests
assert [ref.ref for ref in refs] == ["refs/pr/1", "refs/pr/2"]
assert [commit.commit_id for commit in api.list_repo_commits(**where, revision="refs/pr/1")][:2] == [first.oid, start]
found = list(api.get_repo_discussions(**where, discussion_status="open", discussion_type="pull_request", author="me"))
assert [(one.num, one.title) for one in found if one.is_pull_request] == [(1, "Say second"), (2, "Say third")]
assert not list(api.get_repo_discussions(**where, discussion_type="discussion"))
assert not list(api.get_repo_discussions(**where, author="other"))
details = api.get_discussion_details(**where, discussion_num=1)
assert (details.status, details.target_branch, details.conflicting_files) == ("open", "refs/heads/main", False)
assert details.events[0].content == "It\\nis better." and details.events[1].oid == first.oid
assert all(f"b/{name}" in details.diff for name in ("README.md", "b.bin", "gone")) and "a.bin" not in details.diff
""")
    assert [commit["message"] for commit in hub.repositories["datasets/other/x"]["commits"]] == ["Add files"]


def test_datasets_are_loaded_and_streamed(hub, run):
    hub.add("datasets/me/shut", {"a.csv": b"a"})
    run(f"""
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetNotFoundError

def parquet(values):
    file = io.BytesIO()
    pq.write_table(pa.table({{"number": values, "text": [str(value) for value in values]}}), file, row_group_size=50)
    return file.getvalue()

def commit(**files):
    operations = [CommitOperationAdd("README.md", {CARD.encode()!r})]
    operations += [CommitOperationAdd(f"{{path}}/train.parquet", content) for path, content in files.items()]
    api.create_commit("me/data", operations, commit_message="Data", repo_type="dataset")

api.create_repo("me/data", repo_type="dataset")
commit(a=parquet(range(100)), b=parquet(range(7)))
api.create_tag("me/data", tag="v1.0", repo_type="dataset")
commit(a=parquet(range(300)))
for streaming in (False, True):
    for name, revision, count in ("a", None, 300), ("b", None, 7), ("a", "v1.0", 100):
        rows = load_dataset("me/data", name, split="train", streaming=streaming, revision=revision)
        assert [row["number"] for row in rows] == list(range(count)), (streaming, name, revision)
Dataset.from_dict({{"x": [1, 2]}}).push_to_hub("me/pushed", "c", private=True)
assert load_dataset("me/pushed", "c", split="train")["x"] == [1, 2]

def refusal(*arguments):
    try:
        load_dataset(*arguments)
    except DatasetNotFoundError as error:
        return str(error)

assert "doesn't exist on the Hub" in refusal("me/none")
api.update_repo_settings("me/shut", gated="manual", repo_type="dataset")
assert "is a gated dataset" in refusal("me/shut")
""")
    assert hub.repositories["datasets/me/pushed"].private
    assert any(line.startswith("GET /datasets/me/data/resolve/") for line in hub.requests)


def test_transformers_loads_a_model(hub, run):
    run("""
import torch
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

model = BertModel(BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                             intermediate_size=8, max_position_embeddings=8))
model.push_to_hub("me/model")
api.create_tag("me/model", tag="v1")
with torch.no_grad():
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    model.embeddings.word_embeddings.weight.zero_()
model.push_to_hub("me/model")
assert AutoConfig.from_pretrained("me/model", revision="v1").hidden_size == 8
loaded = AutoModel.from_pretrained("me/model", revision="v1").state_dict()
assert all(torch.equal(loaded[name], value) for name, value in expected.items())
assert not AutoModel.from_pretrained("me/model").embeddings.word_embeddings.weight.any()
""")
    assert len(hub.repositories["me/model"]["commits"]) == 2


def test_faults_are_survived(hub, run):
    data = bytes(range(256)) * 40_000
    hub.add("datasets/me/cut", {"a.parquet": data})
    hub.cut("/cut/resolve/main/a.parquet", after_bytes=1_000_000)
    hub.fail(429, headers={"Retry-After": "1"})
    hub.fail(500)
    hub.drop("/objects/", method="PUT")
    hub.drop("/me/lost/commit/", when="after")
    run(f"""
import threading, httpx2

def download():
    path = hf_hub_download("me/cut", "a.parquet", repo_type="dataset")
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == {hashlib.sha256(data).hexdigest()!r}
    done.append(path)

done = []
thread = threading.Thread(target=download)
thread.start()
api.create_repo("me/lost")
where = {{"repo_id": "me/lost", "commit_message": "Once"}}
try:
    api.create_commit(operations=[CommitOperationAdd("a.bin", b"a" * 3_000_000)], **where)
    raise AssertionError("the answer is not lost")
except httpx2.RemoteProtocolError:
    pass
found = api.create_commit(operations=[CommitOperationAdd("a.bin", b"a" * 3_000_000)], **where)
assert found.oid == api.repo_info("me/lost").sha
thread.join()
assert done
""")
    assert not hub.faults
    assert [commit["message"] for commit in hub.repositories["me/lost"]["commits"]] == ["Once"]
    assert hub.requests.count("GET /datasets/me/cut/resolve/main/a.parquet") == 2


def test_refusals_are_the_exceptions_of_the_library(hub, run):
    hub.tokens |= {"hf_read": ("me", "read"), "hf_other": ("other", "write"), "hf_guest": ("guest", "write")}
    hub.organizations.add("lab")
    hub.add("me/private", {"a.txt": b"a"}, visibility="private")
    hub.add("lab/gated", {"a.txt": b"a"}).gated = True
    hub.repositories["lab/gated"].authorized.add("guest")
    hub.add("me/public", {"a.txt": b"0123456789"})
    run("""
from huggingface_hub import ModelCard
from huggingface_hub.utils import get_session
fails("RepositoryNotFoundError", 401, hf_hub_download, "me/private", "a.txt", token=False)
fails("RepositoryNotFoundError", 404, hf_hub_download, "me/private", "a.txt", token="hf_other")
fails("RepositoryNotFoundError", 404, api.model_info, "gpt2")
fails("RepositoryNotFoundError", 404, api.dataset_info, "me/public")
assert Path(hf_hub_download("me/private", "a.txt", token="hf_read")).read_text() == "a"
assert "Invalid credentials" in fails("HfHubHTTPError", 401, api.model_info, "me/public", token="hf_wrong")
assert "Invalid user token" in fails("HfHubHTTPError", 401, api.whoami, token="hf_wrong")
fails("HfHubHTTPError", 401, api.create_repo, "me/new", token=False)
upload = dict(path_or_fileobj=b"a", path_in_repo="b.txt", repo_id="me/public")
fails("RepositoryNotFoundError", 401, api.upload_file, **upload, token=False)
assert "you don't have write permission" in fails("HfHubHTTPError", 403, api.upload_file, **upload, token="hf_read")
fails("HfHubHTTPError", 403, api.upload_file, **upload, token="hf_other")
fails("HfHubHTTPError", 403, api.create_repo, "other/new")
fails("HfHubHTTPError", 403, api.delete_repo, "me/public", token="hf_other")
fails("RevisionNotFoundError", 404, api.model_info, "me/public", revision="v9")
api.create_repo("lab/new", token="hf_other")
assert "restricted" in fails("GatedRepoError", 403, hf_hub_download, "lab/gated", "a.txt")
fails("GatedRepoError", 401, hf_hub_download, "lab/gated", "a.txt", token=False)
assert api.model_info("lab/gated").gated == "manual"
assert Path(hf_hub_download("lab/gated", "a.txt", token="hf_guest")).read_text() == "a"

url = f"{os.environ['HF_ENDPOINT']}/me/public/resolve/main/a.txt"
for span, status, content in ("0-1", 206, "01"), ("8-", 206, "89"), ("-3", 206, "789"), ("5-99", 206, "56789"):
    answer = get_session().get(url, headers={"Range": f"bytes={span}"})
    assert (answer.status_code, answer.text) == (status, content)
assert get_session().get(url, headers={"Range": "bytes=10-"}).status_code == 416

lines = b'{"key":"header","value":{"summary":"x"}}\\n'
lines += b'{"key":"lfsFile","value":{"path":"a.bin","oid":"' + b"0" * 64 + b'","size":1}}\\n'
commit = f"{os.environ['HF_ENDPOINT']}/api/models/me/public/commit/main"
answer = get_session().post(commit, content=lines, headers={"Authorization": "Bearer hf_test"})
assert answer.status_code == 400 and "does not exist" in answer.text

good = "license: mit\\nlanguage: [en]\\npipeline_tag: other\\nconfigs:\\n- {config_name: a, data_files: a.csv}"
ModelCard(f"---\\n{good}\\n---\\n").validate()
for wrong in ("license: none-such", "language: english", "pipeline_tag: 3", "task_categories: x", "model-index: x",
              "configs: [{config_name: a}]", "- a list", "a: [", "model-index: [{name: x, results: [{task: x}]}]"):
    try:
        api._validate_yaml(f"---\\n{wrong}\\n---\\n", repo_type="model")
        raise AssertionError(wrong)
    except ValueError as error:
        assert "Invalid metadata" in str(error)
try:
    ModelCard("---\\nlicense: none-such\\n---\\n").validate()
    raise AssertionError("it is taken")
except ValueError as error:
    assert "license" in str(error)
""")
