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
SDKS = "docker", "gradio", "static"
COLOURS = "blue", "gray", "green", "indigo", "pink", "purple", "red", "yellow"
SPACE_CARD = b"---\ntitle: X\nemoji: x\nsdk: docker\n---\n\nCheck out the configuration reference\n"


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
    A model, a dataset or a Space; its fields are items and attributes alike. `commits` are those pushed, and `tags`
    the number of pushed commits there were: 0 is the commit that every repository begins with. `pull_requests` have
    `commits` of their own, and are in the order of their numbers. `gated` shuts the files off to all users but those
    in `authorized`.
    """

    def __init__(self, key: str, visibility: str | None, clock: Iterator[int]):
        name = key.removeprefix("datasets/").removeprefix("spaces/")
        kind = "model" if name == key else key.split("s/")[0]
        super().__init__(key=key, kind=kind, name=name, visibility=visibility or "public", commits=[], tags={})
        self.update(gated=False, authorized=set(), clock=clock, pull_requests=[])
        files = {".gitattributes": GITATTRIBUTES} | ({"README.md": SPACE_CARD} if kind == "space" else {})
        blobs = {path: Blob(data, lfs=False) for path, data in files.items()}
        self.initial = self._made(None, "initial commit", "", blobs)

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

    def find(self, revision: str) -> dict:
        """Returns the commit of a branch, a tag or a pull request, or of that name."""
        if revision in ("main", "refs/heads/main"):
            return self.history[-1]
        if (tag := revision.removeprefix("refs/tags/")) in self.tags:
            return self.history[self.tags[tag]]
        if revision.startswith("refs/pr/"):
            return self.pull_request(revision.removeprefix("refs/pr/"))["commits"][-1]
        for commit in (*self.history, *(commit for request in self.pull_requests for commit in request["commits"])):
            if commit["id"] == revision:
                return commit
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def pull_request(self, number: str) -> dict:
        if not number.isdecimal() or not 1 <= int(number) <= len(self.pull_requests):
            raise HubError(404, f"Invalid rev id: refs/pr/{number}", "RevisionNotFound")
        return self.pull_requests[int(number) - 1]

    def commit(self, message: str, files: dict[str, bytes]) -> dict:
        """Adds files, the way the Hub stores each of them."""
        blobs = {path: Blob(data, goes_to_lfs(path, len(data), data[:512])) for path, data in files.items()}
        self.commits.append(self._made(self.history[-1], message, "", self.history[-1]["blobs"] | blobs))
        return self.commits[-1]

    def apply(self, lines: bytes, objects: dict[str, bytes], revision: str, author: str | None = None) -> dict:
        """
        Carries a commit's lines out, all of them, or none: on a branch or a pull request; with an `author`, as a new
        pull request, from the commit that they name as their parent. Returns the commit, or the pull request.
        """
        changes = [(line["key"], line["value"]) for line in map(json.loads, lines.splitlines())]
        header = next((value for key, value in changes if key == "header"), {})
        if not header.get("summary"):
            raise HubError(400, "A commit needs a summary")
        parent, named = self.find(revision), header.get("parentCommit") or ""
        if author is not None and named:
            parent = next((commit for commit in self._before(parent) if commit["id"].startswith(named)), None)
            if parent is None:
                raise HubError(404, f"Invalid rev id: {named}", "RevisionNotFound")
        if not parent["id"].startswith(named):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        blobs = self._changed(parent["blobs"], changes, objects)
        made = self._made(parent, header["summary"], header.get("description", ""), blobs)
        if author is not None:
            about = {"number": len(self.pull_requests) + 1, "title": made["message"], "author": author, "base": parent}
            self.pull_requests.append(
                about | {"description": made["description"], "status": "open", "commits": [made]}
            )
            return self.pull_requests[-1]
        to = self.commits
        if revision.startswith("refs/pr/"):
            to = self.pull_request(revision.removeprefix("refs/pr/"))["commits"]
        to.append(made)
        return made

    @staticmethod
    def _changed(
        blobs: dict[str, Blob], changes: list[tuple[str, dict]], objects: dict[str, bytes]
    ) -> dict[str, Blob]:
        blobs = dict(blobs)
        for key, value in changes:
            if key == "header":
                continue
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
        return blobs

    def _made(self, parent: dict | None, message: str, description: str, blobs: dict[str, Blob]) -> dict:
        count = next(self.clock)
        content = sorted((path, blob.git_oid) for path, blob in blobs.items())  # clients keep files by commit
        name = hashlib.sha1(f"{self.key} {count} {message} {content}".encode()).hexdigest()
        date = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=count)
        found = {"id": name, "parent": parent, "message": message, "description": description, "blobs": blobs}
        found["files"] = {path: blob.data for path, blob in blobs.items()}
        return found | {"date": date.strftime("%Y-%m-%dT%H:%M:%S.000Z")}

    @staticmethod
    def _before(commit: dict | None) -> Iterator[dict]:
        """Yields a commit and those before it, the newest first."""
        while commit is not None:
            yield commit
            commit = commit["parent"]

    def info(self, commit: dict, with_blobs: bool) -> dict:
        blobs = commit["blobs"]
        siblings = [{"rfilename": path} for path in blobs]
        for sibling, blob in zip(siblings, blobs.values(), strict=True) if with_blobs else ():
            sibling.update({"size": len(blob.data), "blobId": blob.git_oid} | blob.lfs_info("sha256"))
        card = front_matter(blobs["README.md"].data.decode(errors="replace"))[0] if "README.md" in blobs else {}
        card = json.loads(json.dumps(card, default=str)) if isinstance(card, dict) else {}
        found = {
            "id": self.name,
            "author": self.name.split("/")[0],
            "sha": commit["id"],
            "cardData": card,
        }
        found |= {"private": self.private, "gated": "manual" if self.gated is True else self.gated, "disabled": False}
        found |= {"tags": card.get("tags") or [], "siblings": siblings, "downloads": 0, "likes": 0}
        return found | {"createdAt": self.initial["date"], "lastModified": self.history[-1]["date"]}

    def entries(self, commit: dict, expand: bool) -> dict[str, dict]:
        """Returns the files and folders of a commit, by path."""
        blobs = commit["blobs"]
        found = {}
        for path, blob in blobs.items():
            found[path] = {"type": "file", "oid": blob.git_oid, "size": len(blob.data)} | blob.lfs_info("oid")
        for folder in {str(parent) for path in blobs for parent in PurePosixPath(path).parents} - {"."}:
            oid = hashlib.sha1(repr(_below(commit, folder)).encode()).hexdigest()
            found[folder] = {"type": "directory", "oid": oid, "size": 0}
        for path, entry in found.items():
            entry["path"] = path
            if expand:
                last = self._last_change(commit, path)
                entry["lastCommit"] = {"id": last["id"], "title": last["message"], "date": last["date"]}
        return dict(sorted(found.items()))

    def tree(self, commit: dict, path: str, recursive: bool, expand: bool) -> list[dict]:
        entries = self.entries(commit, expand)
        if path and entries.get(path, {}).get("type") != "directory":
            raise HubError(404, f"{path} does not exist on {self.name}", "EntryNotFound")
        below = [name for name in entries if name.startswith(f"{path}/" if path else "")]
        return [entries[name] for name in below if recursive or str(PurePosixPath(name).parent) == (path or ".")]

    def open(self, revision: str, path: str, span: str) -> tuple[bytes, int, dict]:
        """Returns a file's content, or the span of it that a Range header asks for, with status and headers."""
        commit = self.find(revision)
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

    def _last_change(self, commit: dict, path: str) -> dict:
        while commit["parent"] and _below(commit, path) == _below(commit["parent"], path):
            commit = commit["parent"]
        return commit

    def preupload(self, commit: dict, file: dict) -> dict:
        """Returns how a file is to be sent, and what is there now."""
        large = goes_to_lfs(file["path"], file["size"], base64.b64decode(file.get("sample", "")))
        blob = commit["blobs"].get(file["path"])
        found = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        return found | {"oid": blob.oid if blob else None}

    def refs(self, with_pull_requests: bool = False) -> dict:
        places = [("heads", "main", self.history[-1])]
        places += [("tags", name, self.history[index]) for name, index in self.tags.items()]
        if with_pull_requests:
            places += [("pr", str(request["number"]), request["commits"][-1]) for request in self.pull_requests]
        found = {"heads": [], "tags": [], "pr": []}
        for kind, name, commit in places:
            found[kind].append({"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit["id"]})
        found = {"branches": found["heads"], "tags": found["tags"], "converts": [], "pullRequests": found["pr"]}
        return found if with_pull_requests else {name: refs for name, refs in found.items() if name != "pullRequests"}

    def discussion(self, request: dict) -> dict:
        """Returns what is told of a pull request."""
        found = {"num": request["number"], "title": request["title"], "status": request["status"]}
        found |= {"author": {"name": request["author"]}, "createdAt": request["commits"][0]["date"]}
        return found | {"isPullRequest": True, "repo": {"name": self.name, "type": self.kind}}

    def discussion_details(self, request: dict) -> dict:
        events = [
            {"id": commit["id"], "type": "commit", "createdAt": commit["date"], "author": {"name": request["author"]}}
            | {"data": {"subject": commit["message"], "oid": commit["id"]}}
            for commit in request["commits"]
        ]
        said = {"edited": False, "hidden": False, "latest": {"raw": request["description"]}}
        events[0:0] = [events[0] | {"id": f"{events[0]['id']}-comment", "type": "comment", "data": said}]
        files = [commit["blobs"] for commit in (request["base"], request["commits"][-1])]
        names = sorted(name for name in {*files[0], *files[1]} if files[0].get(name) != files[1].get(name))
        diff = "".join(f"diff --git a/{name} b/{name}\n" for name in names)
        changes = {"changes": {"base": "refs/heads/main"}, "filesWithConflicts": False, "diff": diff}
        return self.discussion(request) | changes | {"events": events}

    def log(self, commit: dict) -> list[dict]:
        return [
            {"id": commit["id"], "title": commit["message"], "message": commit["description"], "date": commit["date"]}
            | {"authors": [{"user": self.name.split("/")[0]}]}
            for commit in self._before(commit)
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
    ("sdk", lambda value: value in SDKS, f"one of {SDKS}"),
    *((name, lambda value: value in COLOURS, f"one of {COLOURS}") for name in ("colorFrom", "colorTo")),
    ("emoji", lambda value: isinstance(value, str) and len(value) <= 2, "an emoji"),
    ("app_port", lambda value: type(value) is int, "a number"),
    ("pinned", lambda value: type(value) is bool, "true or false"),
]
