# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between here and the Hub: tried again where that helps, said in one line where it does not."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

logger = logging.getLogger(__name__)

TRIES = 3  # besides those huggingface_hub makes of each request for an upload
FIRST_PAUSE = 2.0  # s; doubled after each try
LONGEST_PAUSE = 300.0  # s; that the Hub may ask for
_PASSING = (408, 409, 429, 500, 502, 503, 504)
# What the library stumbles over where an answer is no JSON, or of another shape than a Hub's.
_GARBAGE = (json.JSONDecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError, AttributeError)
_GARBAGE_WORDS = ("malformed response", "improperly formatted", "cannot parse")
_OF_THE_HUB = (HTTPError, OfflineModeIsEnabled, LocalTokenNotFoundError)
_QUOTA_WORDS = ("quota", "storage limit", "storage space", "payment required")

Result = TypeVar("Result")


class HubError(OSError):
    """The Hub cannot be reached or refuses; the message says what to do. Its cause is the library's error."""


class GarbageError(Exception):
    """An answer that no Hub gives."""


def retried(action: Callable[[], Result], what: str, tries: int = TRIES) -> Result:
    """
    Returns what `action` returns; tries again, with pauses, what may pass: a broken connection, a limit on requests, a
    Hub in trouble.

    Args:
        action: Safe to be carried out twice.
        what: The repository it is about, for messages.
        tries: At most; 1 for one who tries again by itself.

    Raises:
        HubError: it failed for good.
    """
    pause = FIRST_PAUSE
    for number in range(1, tries + 1):
        try:
            with _one_line_a_try():
                return action()
        except HubError:
            raise
        except Exception as error:
            may_pass = _may_pass(error)
            reason = explain(error, what) or f"{what}: {_one_line(str(error))}{'; run it again' if may_pass else ''}"
            if number == tries or not may_pass:
                raise HubError(reason) from error
            wait = min(asked_pause(error) or pause, LONGEST_PAUSE)
            short = reason.partition(";")[0]
            logger.warning("%s; try %d of %d follows in %.0f s", short, number + 1, tries, wait)
            time.sleep(wait)
            pause *= 2


_OPEN: list[None] = []  # actions that are being tried
# The library's own tries of one request say so, too: what is said of a try is said here, once.
logging.getLogger("huggingface_hub.utils._http").addFilter(lambda record: not _OPEN)


@contextmanager
def _one_line_a_try() -> Iterator[None]:
    _OPEN.append(None)
    try:
        yield
    finally:
        _OPEN.pop()


def explain(error: BaseException, what: str = "") -> str | None:
    """
    Returns in one line what an error of huggingface_hub means and what to do; None for other errors.

    Args:
        error: It, or one that it caused.
        what: The repository it is about, where it is known.
    """
    found = next(_hub_errors(error), None)
    about = f"{what}: " if what else ""
    hub = endpoint()
    if found is None and _is_garbage(error) and what:
        return (
            f"{about}{hub} answers what no Hub does ({type(error).__name__}: {_one_line(str(error))[:80]}); a login "
            "page or proxy may be between; check the network, HTTPS_PROXY and HF_ENDPOINT, and run it again"
        )
    if found is None:
        return None
    if isinstance(found, OfflineModeIsEnabled):
        return f"{about}offline mode is on; unset HF_HUB_OFFLINE to reach {hub}"
    if isinstance(found, LocalTokenNotFoundError):
        return f"{about}nobody is logged in; run hf auth login, or set HF_TOKEN"
    if not isinstance(found, HfHubHTTPError):
        return (
            f"{about}{hub} cannot be reached ({type(found).__name__}: {_first_line(found)}); check the network, "
            "HTTPS_PROXY and HF_ENDPOINT, and run it again: what has been uploaded is not uploaded twice"
        )
    status = found.response.status_code
    said = f"{status}, {_one_line(found.server_message)}" if found.server_message else str(status)
    return f"{about}{_meaning(found, status, said.lower(), hub)} (the Hub says: {said})"


def endpoint() -> str:
    """Returns where the Hub is, without a password that HF_ENDPOINT may have."""
    parts = urlsplit(constants.ENDPOINT)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _meaning(error: HfHubHTTPError, status: int, said: str, hub: str) -> str:
    if isinstance(error, GatedRepoError):
        if "awaiting" in said:
            return "access was asked for and its owners have not answered yet; wait for their answer"
        return f"it is gated; log in, accept its terms on its page at {hub} and run this again"
    if "terms" in said and status in (401, 403):
        return f"its terms are not accepted; accept them on its page at {hub} while logged in, and run this again"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision; name one of its branches, tags or commits"
    if isinstance(error, EntryNotFoundError):
        return "it has no such file; check the name and the revision"
    if status == 413:
        return "what is sent is too large for it, or for a proxy on the way; reach it without that proxy"
    if status in (402, 507) or any(words in said for words in _QUOTA_WORDS):
        return "the storage quota is used up; delete what is not needed there, or enlarge the quota"
    if status == 401 and not isinstance(error, RepositoryNotFoundError):
        return "the login is not valid; run hf auth login, or set HF_TOKEN to a valid token"
    if status in (401, 404):
        return "no such repository or organization, or this login may not see it; check the name and hf auth whoami"
    if status == 403:
        return "this login may not write there; use a token with write permission, or a repository of your own"
    if status in (409, 412):
        return "it was changed by another push at the same time; run it again"
    if status == 429:
        return "too many requests; wait some minutes and run it again: what has been uploaded is not uploaded twice"
    if status >= 500:
        return "the Hub is in trouble; run it again later: what has been uploaded is not uploaded twice"
    return "the Hub refuses"


def _hub_errors(error: BaseException | None) -> Iterator[BaseException]:
    """The errors of the Hub among an error and what caused it, outermost first."""
    while error is not None:
        if isinstance(error, _OF_THE_HUB):
            yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _may_pass(error: BaseException) -> bool:
    found = next(_hub_errors(error), None)
    if isinstance(found, HfHubHTTPError):
        return found.response.status_code in _PASSING
    # Of the connection; hf_xet, which uploads where it is installed, raises RuntimeError for whatever breaks.
    return isinstance(found, HTTPError) or (
        found is None
        and (
            type(error) in (RuntimeError, ConnectionError, TimeoutError)
            or isinstance(error, (GarbageError, *_GARBAGE))
        )
    )


def _is_garbage(error: BaseException) -> bool:
    if isinstance(error, (GarbageError, *_GARBAGE)):
        return True
    return isinstance(error, ValueError) and any(words in str(error).lower() for words in _GARBAGE_WORDS)


def asked_pause(error: BaseException) -> float | None:
    """Returns how many seconds the Hub asks to wait; None where it does not."""
    found = next(_hub_errors(error), None)
    text = found.response.headers.get("Retry-After", "") if isinstance(found, HfHubHTTPError) else ""
    return float(text) if text.isdecimal() else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
