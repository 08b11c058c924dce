# SPDX-License-Identifier: Apache-2.0
"""Pushed Spaces, run from their own files by a process that has nothing but the libraries they name."""

import http.client
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import HfApi, RepoCard

from surglavi_hf.cli import main
from surglavi_hf.hub import HubError, push_dataset, push_space, space_push
from surglavi_hf.hub.card_text import BEGIN

from ..conftest import client_environment
from .test_dataset_push import embeddings  # noqa: F401  a fixture

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
HOST = "me-surglavi-explorer.hf.space"
# What is installed beside the libraries of requirements.txt is hidden.
RUN = """
import sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path
from packaging.utils import canonicalize_name

named = {line.partition("==")[0] for line in Path("requirements.txt").read_text().splitlines()}
owners = {name: set(map(canonicalize_name, found)) for name, found in packages_distributions().items()}
hidden = {name for name, found in owners.items() if not found & named} - {"surglavi_hf"}
assert {"torch", "transformers", "accelerate", "sklearn", "yt_dlp"} <= hidden


class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
import surglavi_hf
assert Path(surglavi_hf.__file__).is_relative_to(Path.cwd()), surglavi_hf.__file__
from surglavi_hf.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def dataset(hub_server, corpus):
    push_dataset(corpus, "me/surglavi")
    return hub_server.repositories["datasets/me/surglavi"]


@pytest.fixture
def space(hub_server):
    return lambda: hub_server.repositories["spaces/me/surglavi-explorer"]


def push(**more):
    return push_space("me/surglavi", "me/surglavi-explorer", **more)


def command(files: dict[str, bytes]) -> list[str]:
    return json.loads(re.search(r"^CMD (.+)$", files["Dockerfile"].decode(), re.MULTILINE)[1])


def test_what_a_space_holds(hub_server, dataset, space):
    done = push()
    assert (done.pushed.tag, done.pushed.public, done.has_embeddings, done.needs_token) == ("v1", False, False, True)
    files = space()["commits"][-1]["files"]
    assert {name for name in files if not name.startswith("surglavi_hf/")} == {
        *(".gitattributes", "Dockerfile", "README.md", "requirements.txt"),
        *({"LICENSE"} & set(files)),  # where the package was installed with one
    }
    lines = files["Dockerfile"].decode().splitlines()
    assert f"FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim" in lines
    assert lines.index("USER user") < next(i for i, line in enumerate(lines) if line.startswith("RUN pip install"))
    assert "USER root" not in lines and "EXPOSE 7860" in lines
    assert command(files) == [
        *("python", "-m", "surglavi_hf.cli", "explore", "--dataset", "me/surglavi", "--host", "0.0.0.0"),
        *("--port", "7860", "--public", "--no-browser", "--allowed-hosts", "*.hf.space"),
    ]
    card = RepoCard(files["README.md"].decode(), ignore_metadata_errors=False)
    assert card.data.to_dict().items() >= {"sdk": "docker", "app_port": 7860, "datasets": ["me/surglavi"]}.items()
    assert card.data.pinned is False and "HF_TOKEN" in card.text and "$" not in card.text
    here = re.escape(str(Path(__file__).parents[2]))  # a path of this machine
    assert not re.search(rf"hf_test|{here}|/home/(?!user)".encode(), b"".join(files.values()))
    assert not hub_server.errors


def test_the_libraries_are_those_of_here_and_no_others(dataset, space):
    push()
    pins = dict(line.split("==") for line in space()["commits"][-1]["files"]["requirements.txt"].decode().split())
    assert {"datasets", "starlette", "uvicorn", "pyarrow", "pandas", "huggingface-hub"} <= set(pins)
    assert not {"torch", "transformers", "accelerate", "decord", "scikit-learn", "yt-dlp", "faiss-cpu"} & set(pins)
    assert all(version(name).partition("+")[0] == pin for name, pin in pins.items())


def test_the_sources_are_those_of_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    expected = set()
    for package in settings["packages"]:
        folder = ROOT / settings["package-dir"].get(package, package.replace(".", "/"))
        for pattern in ("*.py", *settings["package-data"].get(package, [])):
            found = [path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file()]
            expected |= {f"{package.replace('.', '/')}/{name}" for name in found}
    assert set(space_push.package_files()) == expected


def test_the_same_twice_is_one_commit(dataset, space):
    first, again = push(), push()
    assert (again.pushed.changed, again.pushed.commit) == ((), first.pushed.commit)
    assert len(space()["commits"]) == 1 and space()["tags"] == {"v1": 1}


def test_what_others_wrote_stays_and_what_is_gone_goes(dataset, space, monkeypatch):
    push()
    card = space()["commits"][-1]["files"]["README.md"].decode()
    card = card.replace(BEGIN, f"Ours is theatre 3.\n\n{BEGIN}").replace("emoji: 🔎", "emoji: 🩺")
    card = card.replace("sdk: docker", "sdk: static").replace("# Explorer of", "# Changed")
    theirs = {"README.md": card.encode(), "notes.md": b"theirs", "surglavi_hf/old.py": b"of an earlier version"}
    for name, data in theirs.items():
        HfApi().upload_file(path_or_fileobj=data, path_in_repo=name, repo_id="me/surglavi-explorer", repo_type="space")
    done = push(tag="2026.1")
    files = space()["commits"][-1]["files"]
    assert set(done.pushed.changed) == {"README.md", "surglavi_hf/old.py"} and done.pushed.tag == "2026.1"
    assert files["notes.md"] == b"theirs" and "surglavi_hf/old.py" not in files
    card = files["README.md"].decode()
    assert "Ours is theatre 3." in card and "emoji: 🩺" in card and "sdk: docker" in card and "# Changed" not in card


def test_who_may_see_it(dataset, space, hub_server):
    with pytest.raises(ValueError, match="private, and a public Space would show it to everybody; leave --public out"):
        push(public=True)
    dataset.visibility, dataset.gated = "public", True
    with pytest.raises(ValueError, match="is gated, and a public Space"):
        push(public=True)
    assert "spaces/me/surglavi-explorer" not in hub_server.repositories
    dataset.gated = False
    done = push(public=True)
    assert done.pushed.public and not space().private and not done.needs_token
    with pytest.raises(HubError, match="is public"):
        push()


@pytest.mark.parametrize(
    "identity", ["me/no\nRUN id", 'me/"]', "me/x'y", "me/$(id)", "--x/y", "me/../x", "me", "me/a b", "me/a]\n\nCMD"]
)
def test_names_that_are_none(hub_server, identity):
    with pytest.raises(ValueError, match="repository "):
        push_space(identity, "me/surglavi-explorer")
    with pytest.raises(ValueError, match=r"repository |no such dataset"):
        push_space("me/surglavi", identity)
    assert not hub_server.repositories


def test_datasets_without_our_tables(hub_server):
    with pytest.raises(ValueError, match=r"me/surglavi: no such dataset, .* make it with surglavi push-dataset"):
        push()
    hub_server.add("datasets/me/surglavi", {"all/train-00000-of-00001.parquet": b"x", "README.md": b"x"})
    with pytest.raises(ValueError, match=r"me/surglavi has no tables videos/… of surglavi push-dataset"):
        push()
    assert set(hub_server.repositories) == {"datasets/me/surglavi"}


def test_a_space_of_another_kind_is_left_alone(dataset, space, hub_server):
    hub_server.add("spaces/me/surglavi-explorer", {"app.py": b"print()"}, "private")
    with pytest.raises(ValueError, match=r"a Space of another kind \(it has app.py, .* name another --repo-id"):
        push()
    assert len(space()["commits"]) == 1


def test_a_version_that_is_not_known_stops_it(dataset, hub_server, monkeypatch):
    monkeypatch.setattr(space_push, "LIBRARIES", ("datasets", "no-such-library"))
    with pytest.raises(ImportError, match="no-such-library is not installed; pip install 'surglavi-hf"):
        push()
    assert "spaces/me/surglavi-explorer" not in hub_server.repositories


def test_a_secret_stops_it(dataset, hub_server, monkeypatch):
    monkeypatch.setattr(space_push, "package_files", lambda: {"surglavi_hf/mine.py": f"TOKEN = 'hf_{'a' * 34}'"})
    with pytest.raises(ValueError, match=r"surglavi_hf/mine.py is not pushed: it has what looks like a token"):
        push()
    assert "spaces/me/surglavi-explorer" not in hub_server.repositories


def test_the_command_says_what_is_missing(dataset, space, capsys):
    arguments = ["push-space", "--dataset", "me/surglavi", "--repo-id", "me/surglavi-explorer"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "spaces/me/surglavi-explorer (private) at v1" in said
    assert "me/surglavi has no embeddings" in said and "/settings add a secret HF_TOKEN" in said
    assert main([*arguments, "--public"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def running(hub_server, space, tmp_path):
    """Starts a Space from its files; returns how it is asked."""
    started = []

    def run():
        folder = tmp_path / "app"
        files = space()["commits"][-1]["files"]
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        arguments = ["0" if argument == "7860" else argument for argument in command(files)[3:]]
        environment = client_environment(hub_server.url, tmp_path / "home") | {"HOME": str(tmp_path)}
        environment.pop("XDG_CACHE_HOME", None)
        with (tmp_path / "errors").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN, *arguments],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        started.append(process)
        said = ""
        while not (address := re.search(r"exploring me/surglavi at http://\S+:(\d+)/$", said, re.MULTILINE)):
            line = process.stdout.readline()
            assert line, (tmp_path / "errors").read_text()[-2000:]
            said += line

        def ask(path: str, host: str = HOST) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", int(address[1]), timeout=60)
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            found = answer.status, answer.read()
            connection.close()
            return found

        return ask

    yield run
    for process in started:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def test_it_runs_without_pytorch(dataset, corpus, embeddings, running, space):  # noqa: F811
    push_dataset(corpus, "me/surglavi", embeddings)
    assert push().has_embeddings
    assert command(space()["commits"][-1]["files"])[5:8] == ["me/surglavi", "--index", "hub:me/surglavi"]
    ask = running()
    rows = load_dataset("surglavi", data_dir=str(corpus), split="train")
    assert json.loads(ask("/api/about")[1])["public"] is True
    assert json.loads(ask("/api/overview")[1])["all_captions"] == len(rows)
    assert json.loads(ask("/api/captions")[1])["total"] == len(rows)
    found = json.loads(ask(f"/api/search?q={rows[0]['caption'].split()[0]}")[1])
    assert found["words"]["rows"] and found["meaning"]["rows"]
    for path in ("/", "/search", "/static/app.js", "/static/vendor/uPlot.min.css", "/api/video/1"):
        assert ask(path)[0] == 200, path
    assert ask("/api/about", "evil.example")[0] == 400
