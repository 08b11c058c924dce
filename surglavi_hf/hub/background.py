# SPDX-License-Identifier: Apache-2.0
"""Pushes a folder to the Hub while something else goes on."""

import logging
import os
import shlex
import shutil
import threading
import time
from pathlib import Path

from huggingface_hub import HfApi, get_token

from .card_text import Card
from .cards import COMPUTED, METRICS_NAME
from .failures import LONGEST_PAUSE, HubError, asked_pause, explain, retried
from .guard import CARD_NAME, check_model_files
from .model_results import thinned_log
from .repository import Repository

logger = logging.getLogger(__name__)

TRIES = 5
FIRST_PAUSE = 5.0  # s; doubled after each failure


class BackgroundPush:
    """
    Uploads the states of a folder, one at a time, each as one commit. Of states that wait for an upload to end only
    the newest is uploaded. A failure is logged and tried again; it never raises.

    Args:
        repo_id: Model repository; made, private, where there is none.
        folder: What is uploaded.
        first_pause: Seconds before the second of up to `TRIES` tries; doubled after each.
    """

    def __init__(self, repo_id: str, folder: Path, first_pause: float = FIRST_PAUSE):
        self.repo_id, self.folder, self.first_pause = repo_id, Path(folder), first_pause
        self.api = HfApi()
        if get_token() is None:
            logger.warning("nobody is logged in to the Hub, so pushing to %s will fail; run hf auth login", repo_id)
        for leftover in self.folder.parent.glob(f".{self.folder.name}-push-*"):  # of a run that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        self._commit: str | None = None  # of the newest state that is there
        self.pushed: str | None = None  # the message of the newest state that is there
        self._waiting: tuple[Path, str] | None = None
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="push", daemon=True)
        self._thread.start()

    def push(self, message: str) -> None:
        """Uploads the folder as it is now, in the background, as a commit with this message."""
        try:
            state = self._snapshot()
        except OSError as error:
            logger.warning("%s is not pushed this time: %s", self.folder, error)
            return
        with self._changed:
            if self._waiting is not None:
                shutil.rmtree(self._waiting[0], ignore_errors=True)
            self._waiting = (state, message)
            self._changed.notify()

    def _snapshot(self) -> Path:
        """Returns a copy that later writing leaves alone. Files that are replaced by renaming need links only."""
        state = self.folder.with_name(f".{self.folder.name}-push-{time.monotonic_ns()}")
        try:
            shutil.copytree(self.folder, state, copy_function=_link)
        except OSError:
            shutil.rmtree(state, ignore_errors=True)
            raise
        return state

    def finish(self, tag: str) -> bool:
        """Waits for the last upload and tags what it made; returns whether both are there."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join()
        if self._last_failed or self.pushed is None:
            return False
        return self._try(lambda: retried(lambda: self._tag(tag), self.repo_id, tries=1), f"tag {tag}")

    def _tag(self, tag: str) -> None:
        if tag in (found.name for found in self.api.list_repo_refs(self.repo_id).tags):  # of an earlier run
            self.api.delete_tag(self.repo_id, tag=tag)
        self.api.create_tag(self.repo_id, tag=tag, revision=self._commit)

    def remedy(self, tag: str) -> str:
        """Returns the command that uploads and tags the folder by hand."""
        return shlex.join(["surglavi", "push-model", str(self.folder), "--repo-id", self.repo_id, "--tag", tag])

    def _work(self) -> None:
        self._last_failed = False
        while True:
            with self._changed:
                while self._waiting is None and not self._ending:
                    self._changed.wait()
                if self._waiting is None:
                    return
                (state, message), self._waiting = self._waiting, None
            uploaded = self._try(lambda state=state, message=message: self._upload(state, message), message)
            self._last_failed = not uploaded
            self.pushed = message if uploaded else self.pushed
            shutil.rmtree(state, ignore_errors=True)

    def _upload(self, state: Path, message: str) -> None:
        repository = Repository(self.repo_id, "model", public=None, tries=1)
        # Reports of an evaluation lie beside them, and are for surglavi push-model.
        files: dict[str, Path | bytes] = {
            path.name: path for path in state.iterdir() if path.is_file() and not path.name.startswith(".")
        }
        if METRICS_NAME in files:
            files[METRICS_NAME] = thinned_log(state / METRICS_NAME)
        if CARD_NAME in files:
            card = Card.parse((state / CARD_NAME).read_text(encoding="utf-8"))
            files[CARD_NAME] = card.merged_into(repository.read_text(CARD_NAME), COMPUTED).encode()
        check_model_files(files)
        repository.commit(files, (), message)
        self._commit = repository.head

    def _try(self, action, what: str) -> bool:
        """The one loop of tries: of what is called nothing tries by itself, and a line is logged of each."""
        pause = self.first_pause
        for number in range(1, TRIES + 1):
            asked = None
            try:
                action()
                return True
            except Exception as error:  # whatever the libraries below raise: training goes on
                reason = explain(error) or (str(error).strip().splitlines() or [type(error).__name__])[0]
                logger.warning(
                    "%s: %s did not reach the Hub, try %d of %d: %s",
                    *(self.repo_id, what, number, TRIES, reason.removeprefix(f"{self.repo_id}: ")),
                )
                asked = asked_pause(error)
                is_refused_here = isinstance(error, ValueError) and not isinstance(error, HubError)
            with self._changed:
                # A newer state has tries of its own; what is refused here is refused again.
                if number == TRIES or is_refused_here or self._waiting is not None:
                    return False
            time.sleep(min(max(pause, asked or 0.0), LONGEST_PAUSE))
            pause *= 2
        return False


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another kind of disk
        shutil.copy2(source, target)
