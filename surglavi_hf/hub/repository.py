# SPDX-License-Identifier: Apache-2.0
"""A repository on the Hub, changed by one commit or not at all."""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.hf_api import DatasetInfo, ModelInfo, RepoSibling, SpaceInfo
from huggingface_hub.utils import validate_repo_id

from .failures import TRIES, GarbageError, HubError, Result, endpoint, retried

Content = Path | bytes

_TAG = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}(?<!\.)(?<!\.lock)", re.ASCII)
_TAG_TRIES = 5


@dataclass(frozen=True)
class Pushed:
    """
    Args:
        url: Of the repository.
        commit: Which holds what was pushed.
        tag: Of the commit.
        public: Whether everybody may see it.
        changed: Files that were added, changed or removed; none where all was there already.
    """

    url: str
    commit: str
    tag: str
    public: bool
    changed: tuple[str, ...]


class Repository:
    """
    A repository of the logged-in user or one of their organizations, as it is when this is made.

    Args:
        repo_id: `NAME/REPOSITORY`.
        repo_type: "model", "dataset" or "space"; a Space is made as one of Docker.
        public: Whether everybody may see it; None for as it is. It is made with the first commit, private unless this
            is set.
        tries: Of each thing that is asked of the Hub.

    Raises:
        ValueError: `repo_id` is none.
        HubError: nobody is logged in, the Hub cannot be reached, or it is public and `public` is False.
    """

    def __init__(self, repo_id: str, repo_type: str, public: bool | None = False, tries: int = TRIES):
        if repo_id.count("/") != 1:
            raise ValueError(f"repository {repo_id!r}, expected NAME/REPOSITORY, for example me/surglavi")
        try:
            validate_repo_id(repo_id)
        except HFValidationError as error:
            raise ValueError(f"repository {repo_id!r}: {error}") from error
        self.repo_id, self.repo_type, self.public, self._tries = repo_id, repo_type, public, tries
        self.url = f"{endpoint()}/{constants.REPO_TYPES_URL_PREFIXES.get(repo_type, '')}{repo_id}"
        if constants.HF_HUB_OFFLINE:
            raise HubError(f"{repo_id}: offline mode is on; unset HF_HUB_OFFLINE to push")
        if get_token() is None:
            raise HubError(f"{repo_id}: nobody is logged in; run hf auth login, or set HF_TOKEN")
        self._api = HfApi()
        self.exists, self.private, self.gated = True, True, False
        self.head: str | None = None
        self._files: dict[str, RepoSibling] = {}
        self._refresh()
        if self.exists and not self.private and public is False:
            raise HubError(f"{repo_id} is public, so what is pushed would be, too; add --public if that is meant")

    @property
    def files(self) -> set[str]:
        """Paths of all files in it."""
        return set(self._files)

    def download(self, path: str) -> Path:
        """Returns a file of it, in the cache of this machine. Raises HubError where it cannot be had."""
        return Path(
            self._ask(
                lambda: self._api.hf_hub_download(self.repo_id, path, repo_type=self.repo_type, revision=self.head)
            )
        )

    def read_text(self, path: str) -> str | None:
        """Returns a text file of it; None where there is none. Raises ValueError where it is not UTF-8."""
        if path not in self._files:
            return None
        try:
            return self.download(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} of {self.repo_id} is no UTF-8 text ({error.reason}); mend it on the Hub"
            ) from error

    def push(self, files: Mapping[str, Content], remove: Collection[str], message: str, tag: str | None) -> Pushed:
        """
        Adds and removes files in one commit and tags it. Where nothing would change there is no commit. What an
        earlier try has uploaded is not uploaded again.

        Args:
            files: By their path in the repository.
            remove: Paths that are not to be there.
            message: Of the commit.
            tag: By default the next of v1, v2, …, unless the commit has one of these.

        Raises:
            ValueError: `tag` is no name for a tag.
            HubError: `tag` is another commit, or it failed. Nothing changed then, unless the message says that the tag
                or the visibility alone is missing.
        """
        if tag is not None and (not _TAG.fullmatch(tag) or ".." in tag or tag in ("main", "HEAD")):
            raise ValueError(
                f"tag {tag!r}, expected letters, digits, dots, dashes and underscores, for example 2026.1"
            )
        tags = self._tags()
        if tag in tags and (self._changes(files, remove) or tags[tag] != self.head):
            raise HubError(f"{self.repo_id}: tag {tag} is another commit already, and a version does not move")
        changed = self.commit(files, remove, message)
        try:
            version = self._tag_head(tag, tags)
            if self.public and self.private:
                self._ask(self._publish)
                self.private = False
        except HubError as error:
            raise HubError(
                f"{error}; commit {self.head[:8]} is there, run it again for its tag and visibility"
            ) from error
        return Pushed(self.url, self.head, version, not self.private, tuple(sorted(changed)))

    def commit(self, files: Mapping[str, Content], remove: Collection[str], message: str) -> set[str]:
        """Adds and removes files in one commit, unless nothing would change; returns what did. As [`push`]."""
        changed = self._changes(files, remove)
        if changed:
            if not self.exists:
                self._ask(self._create)
                self._refresh()
            parent = self.head
            self.head = self._ask(lambda: self._commit(files, remove, message, parent))
        return changed

    def propose(
        self, files: Mapping[str, Content], remove: Collection[str], title: str, description: str
    ) -> tuple[str | None, set[str]]:
        """
        Opens a pull request that adds and removes files, unless nothing would change; nothing else is touched.

        Args:
            files: By their path in the repository.
            remove: Paths that are not to be there.
            title, description: Of the pull request.

        Returns:
            Its address, None where there is none, and what changes.

        Raises:
            HubError: it failed.
        """
        changed = self._changes(files, remove)
        if not changed:
            return None, changed
        operations = self._operations(files, changed)
        about = {"repo_type": self.repo_type, "create_pr": True}
        additions = [operation for operation in operations if isinstance(operation, CommitOperationAdd)]
        self._ask(lambda: self._api.preupload_lfs_files(self.repo_id, additions, **about))
        try:
            made = retried(
                lambda: self._api.create_commit(
                    self.repo_id,
                    operations,
                    commit_message=title,
                    commit_description=description,
                    parent_commit=self.head,
                    **about,
                ),
                self.repo_id,
                tries=1,  # where only the answer is lost, another try is another pull request
            )
        except HubError as error:
            raise HubError(f"{error}; before, look whether {self.url}/discussions has the pull request") from error
        return made.pr_url, changed

    def _ask(self, action: Callable[[], Result]) -> Result:
        return retried(action, self.repo_id, self._tries)

    def _info(self) -> ModelInfo | DatasetInfo | SpaceInfo:
        info = self._api.repo_info(self.repo_id, repo_type=self.repo_type, files_metadata=True)
        if not isinstance(info.sha, str) or not isinstance(info.private, bool):
            raise GarbageError("a repository without a commit")
        return info

    def _refresh(self) -> None:
        try:
            info = self._ask(self._info)
        except HubError as error:
            cause = error.__cause__
            if not isinstance(cause, RepositoryNotFoundError) or cause.response.status_code != 404:
                raise
            self.exists = False
            return
        self.exists, self.private, self.head = True, info.private, info.sha
        self.gated = bool(info.gated)
        self._files = {file.rfilename: file for file in info.siblings or []}

    def _create(self) -> None:
        sdk = "docker" if self.repo_type == "space" else None
        self._api.create_repo(
            self.repo_id, repo_type=self.repo_type, private=not self.public, exist_ok=True, space_sdk=sdk
        )

    def _publish(self) -> None:
        self._api.update_repo_settings(self.repo_id, repo_type=self.repo_type, private=False)

    def _commit(self, files: Mapping[str, Content], remove: Collection[str], message: str, parent: str | None) -> str:
        operations = self._operations(files, self._changes(files, remove))
        if not operations:  # the answer to an earlier try was lost
            return self.head
        try:
            return self._api.create_commit(
                self.repo_id, operations, commit_message=message, repo_type=self.repo_type, parent_commit=parent
            ).oid
        except Exception:
            self._refresh()
            raise

    @staticmethod
    def _operations(
        files: Mapping[str, Content], changed: Collection[str]
    ) -> list[CommitOperationAdd | CommitOperationDelete]:
        return [
            CommitOperationAdd(path, files[path]) if path in files else CommitOperationDelete(path, is_folder=False)
            for path in sorted(changed)
        ]

    def _changes(self, files: Mapping[str, Content], remove: Collection[str]) -> set[str]:
        added = {path for path, content in files.items() if not _is_same(self._files.get(path), content)}
        return added | {path for path in remove if path in self._files and path not in files}

    def _tags(self) -> dict[str, str]:
        if not self.exists:
            return {}
        refs = self._ask(lambda: self._api.list_repo_refs(self.repo_id, repo_type=self.repo_type))
        return {tag.name: tag.target_commit for tag in refs.tags}

    def _version(self, tags: Mapping[str, str]) -> str:
        versions = {name: int(name[1:]) for name in tags if re.fullmatch(r"v\d{1,9}", name, re.ASCII)}
        ours = [name for name in versions if tags[name] == self.head]
        return max(ours, key=versions.get) if ours else f"v{max(versions.values(), default=0) + 1}"

    def _tag_head(self, tag: str | None, tags: Mapping[str, str]) -> str:
        """Returns the tag that the head has in the end: `tag`, or a version. Others may make tags at the same time."""
        for _ in range(_TAG_TRIES):
            name = tag or self._version(tags)
            if tags.get(name) == self.head or self._ask(lambda name=name: self._create_tag(name)):
                return name
            tags = self._tags()
        if tags.get(name) == self.head:
            return name
        raise HubError(f"{self.repo_id}: tag {name} was made for another commit at the same time")

    def _create_tag(self, name: str) -> bool:
        """Returns whether there was no such tag."""
        try:
            self._api.create_tag(self.repo_id, tag=name, revision=self.head, repo_type=self.repo_type)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
            return False
        return True


def _is_same(there: RepoSibling | None, content: Content) -> bool:
    """Whether a file of the Hub has this content, by the digests the Hub knows it by."""
    if there is None:
        return False
    if there.lfs is not None:
        return _digest("sha256", content) == there.lfs.sha256
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    return _digest("sha1", content, b"blob %d\0" % size) == there.blob_id


def _digest(algorithm: str, content: Content, header: bytes = b"") -> str:
    if isinstance(content, bytes):
        return hashlib.new(algorithm, header + content).hexdigest()
    status = content.stat()
    return _file_digest(algorithm, content, header, (status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=256)  # weights are gigabytes, and asked for at each try
def _file_digest(algorithm: str, path: Path, header: bytes, state: tuple[int, int]) -> str:
    digest = hashlib.new(algorithm, header)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
