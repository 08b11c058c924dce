# SPDX-License-Identifier: Apache-2.0
"""What the small Hub of `hub_server` keeps: repositories with their commits. And what it asks of a card."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import PurePosixPath

import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

LFS_SUFFIXES = (".arrow", ".bin", ".gz", ".h5", ".mp4", ".npy", ".npz", ".onnx", ".parquet", ".pt", ".safetensors")
LFS_SUFFIXES += (".pth", ".tar", ".zip")
LARGE = 10 * 2**20  # bytes; more than that goes to LFS, whatever it is called
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
LICENSES = "agpl-3.0 apache-2.0 bsd-2-clause bsd-3-clause cc cc0-1.0 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-4.0"
LICENSES += (
    " cc-by-nc-nd-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-sa-4.0 gpl-2.0 gpl-3.0 mit odc-by openrail other unknown"
)
CODE = re.compile("[a-z]{2,3}")


class HubError(Exception):
    """What a request is refused with; `code` is the Hub's X-Error-Code."""

    def __init__(self, status: int, message: str, code: str = "", headers: dict | None = None, **more):
        super().__init__(message)
        self.status, self.content = status, {"error": message} | more
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | (headers or {})


@dataclass(frozen=True)
class Blob:
    """A file's content, and whether git keeps no more than a pointer to it."""

    data: bytes
    lfs: bool

    @cached_property
    def oid(self) -> str:
        """What the client compares with its own file."""
        return hashlib.sha256(self.data).hexdigest() if self.lfs else self.git_oid

    @cached_property
    def git_oid(self) -> str:
        content = self.pointer if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {len(self.data)}\n".encode()

    def lfs_info(self, name: str) -> dict:
        """Returns what is told of an LFS file, its SHA-256 under this name."""
        found = {name: self.oid, "size": len(self.data), "pointerSize": len(self.pointer)}
        return {"lfs": found} if self.lfs else {}


class Repository(dict):
    """
    A model or a dataset; its fields are items and attributes alike. `commits` are those pushed, and `tags` the number
    of pushed commits there were: 0 is the commit that every repository begins with. `gated` shuts the files off to all
    users but those in `authorized`.
    """

    def __init__(self, key: str, visibility: str | None, clock: Iterator[int]):
        kind, name = ("dataset", key.removeprefix("datasets/")) if key.startswith("datasets/") else ("model", key)
        super().__init__(key=key, kind=kind, name=name, visibility=visibility or "public", commits=[], tags={})
        self.update(gated=False, authorized=set(), clock=clock)
        self.initial = self._made("initial commit", "", {".gitattributes": Blob(GITATTRIBUTES, lfs=False)})

    def __getattr__(self, name: str):
        if name in self:
            return self[name]
        raise AttributeError(name)

    __setattr__ = dict.__setitem__

    @property
    def history(self) -> list[dict]:
        return [self.initial, *self.commits]

    @property
    def private(self) -> bool:
        return self.visibility == "private"

    def find(self, revision: str) -> int:
        """Returns the place in the history of a branch, a tag or a commit."""
        if revision in ("main", "refs/heads/main"):
            return len(self.commits)
        if (tag := revision.removeprefix("refs/tags/")) in self.tags:
            return self.tags[tag]
        for index, commit in enumerate(self.history):
            if commit["id"] == revision:
                return index
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def commit(self, message: str, files: dict[str, bytes]) -> dict:
        """Adds files, the way the Hub stores each of them."""
        blobs = {path: Blob(data, goes_to_lfs(path, len(data), data[:512])) for path, data in files.items()}
        self.commits.append(self._made(message, "", self.history[-1]["blobs"] | blobs))
        return self.commits[-1]

    def apply(self, lines: bytes, objects: dict[str, bytes]) -> dict:
        """Carries a commit's lines out: all of them, or none."""
        header, blobs = {}, dict(self.history[-1]["blobs"])
        for line in map(json.loads, lines.splitlines()):
            key, value = line["key"], line["value"]
            if key == "header":
                header, head = value, self.history[-1]["id"]
                if not head.startswith(value.get("parentCommit") or head):
                    raise HubError(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                blobs[value["path"]] = Blob(base64.b64decode(value["content"]), lfs=False)
            elif key == "lfsFile":
                data = objects.get(value["oid"])
                if data is None or len(data) != value.get("size", len(data)):
                    message = "Your push was rejected because an LFS pointer pointed to a file that does not exist"
                    raise HubError(400, f"{message}: {value['path']}")
                blobs[value["path"]] = Blob(data, lfs=True)
            elif key in ("deletedFile", "deletedFolder"):
                path, folder = value["path"], value["path"].rstrip("/") + "/"
                gone = [name for name in blobs if (name == path if key == "deletedFile" else name.startswith(folder))]
                if not gone:
                    raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
                blobs = {name: blob for name, blob in blobs.items() if name not in gone}
            else:
                raise HubError(400, f"Unknown operation: {key}")
        if not header.get("summary"):
            raise HubError(400, "A commit needs a summary")
        self.commits.append(self._made(header["summary"], header.get("description", ""), blobs))
        return self.commits[-1]

    def _made(self, message: str, description: str, blobs: dict[str, Blob]) -> dict:
        count = next(self.clock)
        name = hashlib.sha1(f"{self.key} {count} {message}".encode()).hexdigest()
        date = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=count)
        found = {"id": name, "message": message, "description": description, "blobs": blobs}
        found["files"] = {path: blob.data for path, blob in blobs.items()}
        return found | {"date": date.strftime("%Y-%m-%dT%H:%M:%S.000Z")}

    def info(self, index: int, with_blobs: bool) -> dict:
        blobs = self.history[index]["blobs"]
        siblings = [{"rfilename": path} for path in blobs]
        for sibling, blob in zip(siblings, blobs.values(), strict=True) if with_blobs else ():
            sibling.update({"size": len(blob.data), "blobId": blob.git_oid} | blob.lfs_info("sha256"))
        card = front_matter(blobs["README.md"].data.decode(errors="replace"))[0] if "README.md" in blobs else {}
        card = json.loads(json.dumps(card, default=str)) if isinstance(card, dict) else {}
        found = {
            "id": self.name,
            "author": self.name.split("/")[0],
            "sha": self.history[index]["id"],
            "cardData": card,
        }
        found |= {"private": self.private, "gated": "manual" if self.gated is True else self.gated, "disabled": False}
        found |= {"tags": card.get("tags") or [], "siblings": siblings, "downloads": 0, "likes": 0}
        return found | {"createdAt": self.initial["date"], "lastModified": self.history[-1]["date"]}

    def entries(self, index: int, expand: bool) -> dict[str, dict]:
        """Returns the files and folders of a commit, by path."""
        blobs = self.history[index]["blobs"]
        found = {}
        for path, blob in blobs.items():
            found[path] = {"type": "file", "oid": blob.git_oid, "size": len(blob.data)} | blob.lfs_info("oid")
        for folder in {str(parent) for path in blobs for parent in PurePosixPath(path).parents} - {"."}:
            oid = hashlib.sha1(repr(_below(self.history[index], folder)).encode()).hexdigest()
            found[folder] = {"type": "directory", "oid": oid, "size": 0}
        for path, entry in found.items():
            entry["path"] = path
            if expand:
                commit = self._last_change(index, path)
                entry["lastCommit"] = {"id": commit["id"], "title": commit["message"], "date": commit["date"]}
        return dict(sorted(found.items()))

    def tree(self, index: int, path: str, recursive: bool, expand: bool) -> list[dict]:
        entries = self.entries(index, expand)
        if path and entries.get(path, {}).get("type") != "directory":
            raise HubError(404, f"{path} does not exist on {self.name}", "EntryNotFound")
        below = [name for name in entries if name.startswith(f"{path}/" if path else "")]
        return [entries[name] for name in below if recursive or str(PurePosixPath(name).parent) == (path or ".")]

    def open(self, revision: str, path: str, span: str) -> tuple[bytes, int, dict]:
        """Returns a file's content, or the span of it that a Range header asks for, with status and headers."""
        commit = self.history[self.find(revision)]
        headers, blob = {"X-Repo-Commit": commit["id"]}, commit["blobs"].get(path)
        if blob is None:
            raise HubError(404, "Entry not found", "EntryNotFound", headers)
        size, headers = len(blob.data), headers | {"ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
        if blob.lfs:
            headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(size)}
        match = re.fullmatch(r"bytes=(?:(\d+)-(\d*)|-(\d+))", span)
        if match is None:
            return blob.data, 200, headers
        start = int(match[1]) if match[1] else max(size - int(match[3]), 0)
        stop = min(int(match[2]) + 1, size) if match[2] else size
        if start >= stop:
            raise HubError(416, "Range not satisfiable", "", {"Content-Range": f"bytes */{size}"})
        return blob.data[start:stop], 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}

    def _last_change(self, index: int, path: str) -> dict:
        while index and _below(self.history[index], path) == _below(self.history[index - 1], path):
            index -= 1
        return self.history[index]

    def preupload(self, index: int, file: dict) -> dict:
        """Returns how a file is to be sent, and what is there now."""
        large = goes_to_lfs(file["path"], file["size"], base64.b64decode(file.get("sample", "")))
        blob = self.history[index]["blobs"].get(file["path"])
        found = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        return found | {"oid": blob.oid if blob else None}

    def refs(self) -> dict:
        places = [("heads", "main", len(self.commits)), *(("tags", name, index) for name, index in self.tags.items())]
        found = {"heads": [], "tags": []}
        for kind, name, index in places:
            found[kind].append({"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": self.history[index]["id"]})
        return {"branches": found["heads"], "tags": found["tags"], "converts": [], "pullRequests": []}

    def log(self, index: int) -> list[dict]:
        return [
            {"id": commit["id"], "title": commit["message"], "message": commit["description"], "date": commit["date"]}
            | {"authors": [{"user": self.name.split("/")[0]}]}
            for commit in reversed(self.history[: index + 1])
        ]


def _below(commit: dict, path: str) -> list[tuple[str, str]]:
    return sorted((name, b.oid) for name, b in commit["blobs"].items() if f"{name}/".startswith(f"{path}/"))


def goes_to_lfs(path: str, size: int, sample: bytes) -> bool:
    return path.endswith(LFS_SUFFIXES) or size > LARGE or b"\0" in sample


def front_matter(content: str) -> tuple[object, str]:
    """Returns what stands between the `---` lines of a card, None where there are none, and what is wrong with it."""
    match = re.match(r"\s*---[ \t]*\r?\n(.*?)^---[ \t]*$", content, re.DOTALL | re.MULTILINE)
    try:
        return yaml.safe_load(match[1]) if match else None, ""
    except yaml.YAMLError as error:
        return None, f"YAML metadata cannot be read: {error}"


def card_problems(content: str) -> tuple[list[str], list[str]]:
    """Returns the errors and the warnings of a card."""
    card, problem = front_matter(content)
    if problem or not isinstance(card, dict | None):
        return [problem or '"metadata" must be a mapping'], []
    if card is None:  # the Hub lets it pass
        return [], ["empty or missing yaml metadata in repo card"]
    wrong = [(name, what) for name, is_right, what in CHECKS if name in card and not is_right(card[name])]
    return [f'"{name}" must be {what}' for name, what in wrong], []


def _are_strings(values) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _listed(value) -> list:
    return value if isinstance(value, list) else [value]


def _is_model_index(value) -> bool:
    try:
        return bool(model_index_to_eval_results(value))
    except Exception:  # whatever the library stumbles on
        return False


def _are_data_files(files) -> bool:
    if not files or not all(isinstance(file, dict) for file in _listed(files)):
        return bool(files) and _are_strings(_listed(files))
    return all(isinstance(file.get("split"), str) and _are_data_files(file.get("path")) for file in files)


def _are_configs(configs) -> bool:
    return isinstance(configs, list) and all(
        isinstance(config, dict)
        and isinstance(config.get("config_name"), str)
        and _are_data_files(config.get("data_files"))
        for config in configs
    )


CHECKS = [
    ("license", lambda value: _are_strings(_listed(value)) and set(LICENSES.split()) >= set(_listed(value)), "known"),
    ("pipeline_tag", lambda value: isinstance(value, str), "a string"),
    *(
        (name, _are_strings, "a list of strings")
        for name in ("task_categories", "task_ids", "tags", "size_categories")
    ),
    ("model-index", _is_model_index, "a list of models with results"),
    ("configs", _are_configs, "a list of entries, each with config_name and data_files"),
    ("language", lambda value: _are_strings(value) and all(map(CODE.fullmatch, value)), "a list of codes such as en"),
]
