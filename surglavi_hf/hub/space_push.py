# SPDX-License-Identifier: Apache-2.0
"""A Space that explores a pushed dataset in the browser, from its tables alone: no video, no PyTorch, no model."""

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, distributions
from importlib.resources import files
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ..data.embeddings import EMBEDDINGS, HUB
from .card_text import Card, template
from .dataset_tables import SHARD_NAME
from .guard_text import check_secrets
from .repository import Pushed, Repository

PACKAGE, DISTRIBUTION = "surglavi_hf", "surglavi-hf"
PORT = 7860
COMPUTED = ("app_port", "datasets", "sdk")
# What `surglavi explore --dataset` imports, and tests show that it imports no more.
LIBRARIES = ("anyio", "av", "datasets", "filelock", "huggingface_hub", "numpy", "packaging", "pillow", "pyarrow")
LIBRARIES += ("rich", "simplejpeg", "starlette", "uvicorn", "wrapt", "xxhash")
_TEMPLATES = ("loading_script", "model_card")  # which lie beside the package in a checkout
_SUFFIXES = (".css", ".html", ".js", ".md", ".py", ".svg", ".typed", ".yaml")
_OTHER_NAMES = ("Dockerfile", "LICENSE")
_NEEDED = ("all", "videos")  # configs
_OF_A_SPACE = {"Dockerfile", "app.py", "index.html", "requirements.txt"}


@dataclass(frozen=True)
class PushedSpace:
    """
    Args:
        pushed: Where it is.
        has_embeddings: Whether it searches by meaning, too.
        needs_token: Whether the dataset is read with a token, which is to be a secret of the Space.
    """

    pushed: Pushed
    has_embeddings: bool
    needs_token: bool


def push_space(dataset: str, repo_id: str, public: bool = False, tag: str | None = None) -> PushedSpace:
    """
    Publishes a Space (Docker, CPU basic) that runs `surglavi explore` on a dataset, in one commit: the sources of this
    package, the versions of the libraries they need, and a card. No token goes along. What is there of an earlier push
    is replaced, other files and the words that others wrote into the card stay, and the same twice makes no commit.

    Args:
        dataset: `NAME/REPOSITORY`, filled by [`push_dataset`].
        repo_id: `NAME/REPOSITORY` of the Space, made where it is absent.
        public: Whether everybody may see it.
        tag: Version of the commit; by default the next of v1, v2, ….

    Raises:
        ImportError: a library that the Space needs is not installed here, so its version is not known.
        ValueError: the dataset has no tables of ours, everybody would see what is private, or the repository is a
            Space of another kind.
        HubError: the Hub cannot be reached or refuses. Files, commits and tags are unchanged then; where only the tag
            or the visibility failed, after the commit, it says so.
    """
    source = Repository(dataset, "dataset", public=None)
    configs = {match[1] for name in source.files if (match := SHARD_NAME.fullmatch(name))}
    _check_dataset(source, configs)
    needs_token = source.private or source.gated
    if public and needs_token:
        raise ValueError(
            f"{dataset} is {'private' if source.private else 'gated'}, and a public Space would show it to everybody; "
            "leave --public out, or open the dataset first"
        )
    space = Repository(repo_id, "space", public)
    earlier = {name for name in space.files if name.startswith(f"{PACKAGE}/")}
    if not earlier and (found := sorted(_OF_A_SPACE & space.files)):
        raise ValueError(
            f"{repo_id} is a Space of another kind (it has {found[0]}, and no {PACKAGE}/); name another --repo-id"
        )
    has_embeddings = EMBEDDINGS in configs
    contents = {
        **package_files(),
        "Dockerfile": _dockerfile(dataset, has_embeddings),
        "requirements.txt": "".join(f"{name}=={release}\n" for name, release in installed_versions(LIBRARIES).items()),
        "README.md": _card(dataset, source.url, has_embeddings).merged_into(space.read_text("README.md"), COMPUTED),
    }
    if (licence := _licence()) is not None:
        contents["LICENSE"] = licence
    for name, content in contents.items():
        check_secrets(f"{name} is not pushed", content)
    encoded = {name: content.encode() for name, content in contents.items()}
    pushed = space.push(encoded, earlier, f"Push explorer of {dataset}", tag)
    return PushedSpace(pushed, has_embeddings, needs_token)


def package_files() -> dict[str, str]:
    """
    Returns the sources of this package by their path, as its wheel holds them.

    Raises:
        ValueError: one is no UTF-8 text.
    """
    folders = {PACKAGE: PACKAGE} | {f"{PACKAGE}.{name}": f"{PACKAGE}/{name}" for name in _TEMPLATES}
    found = {}
    for package, prefix in folders.items():
        root = Path(str(files(package)))
        for path in sorted(root.rglob("*")):
            place = path.relative_to(root)
            is_source = path.suffix in _SUFFIXES or path.name.startswith(_OTHER_NAMES)
            if not is_source or not path.is_file() or any(part.startswith(".") for part in place.parts):
                continue
            try:
                found[f"{prefix}/{place.as_posix()}"] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path} is no UTF-8 text ({error.reason}); install the package again") from error
    return found


def installed_versions(names: Collection[str]) -> dict[str, str]:
    """
    Returns the versions of libraries, and of all that they need, as they are installed here.

    Raises:
        ImportError: one of them is not installed.
    """
    found: dict[str, str] = {}
    waiting = [Requirement(name) for name in names]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError as error:
            if requirement.name in names:
                raise ImportError(f"{name} is not installed; pip install 'surglavi-hf[explorer]'") from error
            continue  # of another's; pip finds one for the Space
        found[name] = Version(installed.version).public
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            needed = map(Requirement, installed.requires or ())
            waiting += [each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})]
    return dict(sorted(found.items()))


def _check_dataset(source: Repository, configs: Collection[str]) -> None:
    if not source.exists:
        raise ValueError(
            f"{source.repo_id}: no such dataset, or this login may not see it; make it with surglavi push-dataset, or "
            "check the name and hf auth whoami"
        )
    if missing := [name for name in _NEEDED if name not in configs]:
        raise ValueError(
            f"{source.repo_id} has no tables {missing[0]}/… of surglavi push-dataset, so there is nothing to explore; "
            f"surglavi push-dataset --data-dir DIR --repo-id {source.repo_id} writes them"
        )


def _dockerfile(dataset: str, has_embeddings: bool) -> str:
    command = ["python", "-m", f"{PACKAGE}.cli", "explore", "--dataset", dataset]
    command += ["--index", f"{HUB}{dataset}"] if has_embeddings else []
    command += ["--host", "0.0.0.0", "--port", str(PORT), "--public", "--no-browser", "--allowed-hosts", "*.hf.space"]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"  # which the versions of the libraries are known for
    values = {"python": python, "port": str(PORT), "command": json.dumps(command)}
    return template("space/Dockerfile", __package__).substitute(values)


def _card(dataset: str, url: str, has_embeddings: bool) -> Card:
    search = (
        "by words and, with the embeddings of the dataset, by meaning: clips like a clip, and clips like those "
        "whose captions have some words"
    )
    values = {"dataset": dataset, "dataset_url": url, "port": str(PORT)}
    return Card.render(__package__, "space/README.md", values | {"search": search if has_embeddings else "by words"})


def _licence() -> str | None:
    """The text that the package was installed with, where there is one."""
    texts = (found.read_text("licenses/LICENSE") for found in distributions(name=DISTRIBUTION))
    return next((text for text in texts if text), None)
