# SPDX-License-Identifier: Apache-2.0
"""The manifest: every attempt to download a video, one line each, never rewritten."""

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from .reasons import Status
from .sources import VideoSource

if TYPE_CHECKING:
    from .container import Header

logger = logging.getLogger(__name__)

_LONGEST_MESSAGE = 500
_MOST_WARNINGS = 10


@dataclass(frozen=True)
class Attempt:
    """
    One attempt to download a video.

    Args:
        time: When it ended, ISO 8601 in UTC.
        name: The video's.
        source: Its YouTube id, or its address without what may be secret.
        status: `"ok"`, or why it is not there. Of the video: `"gone"`, `"private"`, `"age"` (confirmed by an account
            only), `"region"`, `"format"` (none that can be had), `"later"` (a premiere, say), `"truncated"` (not
            decodable, or not as long as it should be). Of the account or address that asked: `"rate-limited"`,
            `"bot-check"`, `"sign-in"`. Of this machine's yt-dlp: `"client"`. `"network"`. Of what cannot be told:
            `"unknown"`.
        message: What was said, in one line.
        warnings: Of yt-dlp, of a video that is not there; each in one line.
        yt_dlp: Version of yt-dlp.
        format: yt-dlp's id of it, the codec and the size in pixels.
        size: Of the file in bytes.
        duration: Of the file in seconds.
        seconds: That the attempt took.
    """

    time: str
    name: str
    source: str
    status: Status
    message: str = ""
    warnings: tuple[str, ...] = ()
    yt_dlp: str = ""
    format: str | None = None
    size: int | None = None
    duration: float | None = None
    seconds: float | None = None


class Manifest:
    """
    The attempts of a library, in its `downloads.jsonl`.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def append(self, *attempts: Attempt) -> None:
        """Adds lines, on disk when this returns. A line that a crash cut short is ended first."""
        lines = "".join(json.dumps(asdict(attempt), ensure_ascii=False) + "\n" for attempt in attempts)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                lines = lines if file.read(1) == b"\n" else f"\n{lines}"
            file.write(lines.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())

    def __iter__(self) -> Iterator[Attempt]:
        """Yields the attempts in order. Lines that are none are skipped, with a warning."""
        if not self.path.is_file():
            return
        names = {field.name for field in fields(Attempt)}
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    values = json.loads(line)
                    attempt = Attempt(**{name: value for name, value in values.items() if name in names})
                except (ValueError, TypeError, AttributeError, RecursionError):
                    attempt = None
                if attempt is None or not _is_sound(attempt):
                    logger.warning("%s, line %d is no attempt; skipping it", self.path, number)
                else:
                    yield replace(attempt, warnings=tuple(attempt.warnings))

    def by_video(self) -> dict[str, list[Attempt]]:
        """Returns the attempts of each video."""
        attempts: dict[str, list[Attempt]] = {}
        for attempt in self:
            attempts.setdefault(attempt.name, []).append(attempt)
        return attempts


def _is_sound(attempt: Attempt) -> bool:
    numbers = (attempt.size, attempt.duration, attempt.seconds)
    texts = (attempt.time, attempt.name, attempt.source, attempt.status, attempt.message)
    return (
        isinstance(attempt.warnings, list | tuple)
        and all(isinstance(text, str) for text in attempt.warnings)
        and all(isinstance(text, str) for text in texts)
        and attempt.status in get_args(Status)
        and all(number is None or isinstance(number, int | float) for number in numbers)
    )


def attempt_of_a_file(source: VideoSource, path: Path, header: "Header", message: str) -> Attempt:
    """Returns what is noted of a video that is there without having been downloaded."""
    return Attempt(
        time=now(),
        name=source.name,
        source=without_secrets(source.youtube_id or source.address or ""),
        status="ok",
        message=message,
        format=header.summary,
        size=path.stat().st_size,
        duration=header.duration,
    )


def now() -> str:
    """Returns the time as attempts write it down."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def without_secrets(text: str, *addresses: str | None) -> str:
    """
    Returns a text in one line, without colours, and its addresses without passwords and queries; those of `addresses`
    are taken out wherever they stand.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    for address in filter(None, addresses):
        rest = address.partition("://")[2] or address
        for secret in (rest.rpartition("@")[0], *rest.rpartition("@")[0].split(":"), rest.partition("?")[2]):
            text = text.replace(secret, "…") if secret else text
    text = re.sub(r"(\w+://)[^\s'\"]*@", r"\1", text)
    text = re.sub(r"(\w+://[^\s?#'\"]*)[?#][^\s'\"]*", r"\1", text)
    text = re.sub(r"\?[^\s'\"]*=[^\s'\"]*", "", text)
    text = "".join(character if character.isprintable() else " " for character in " ".join(text.split()))
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"


def warnings_to_keep(warnings: Iterable[str], *addresses: str | None) -> tuple[str, ...]:
    """Returns the first ten different warnings, each as [`without_secrets`] makes it."""
    cleaned = dict.fromkeys(without_secrets(warning, *addresses) for warning in warnings)
    return tuple(cleaned)[:_MOST_WARNINGS]
