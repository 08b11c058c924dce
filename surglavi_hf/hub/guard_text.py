# SPDX-License-Identifier: Apache-2.0
"""Looks at texts that are about to be published: no secrets, no encoded bytes, in names and Markdown either."""

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from .language import LanguageTest

# Of Hugging Face, AWS, GitHub, GitLab, Google, OpenAI and the like, Slack; and private keys.
_SECRET = (
    r"\bhf_[A-Za-z0-9]{30,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}"
    r"|\bglpat-[\w-]{20,}|\bAIza[\w-]{35}|\bsk-[\w-]{20,}|\bxox[abprs]-[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_HAS_SECRET = re.compile(_SECRET)
_DATA_ADDRESS = re.compile(r"data:[\w.+-]+/[\w.+-]+[;,]")
_YOUTUBE_ID = re.compile(r"[\w-]{11}", re.ASCII)
_MARKS = re.compile(r"[!-/:-@\[-`{-~]+")
# What documents have of letters and digits that is no language: addresses, digests, numbers.
_FACTS = re.compile(
    r"https?://[^\s)>\"'\]]{1,300}|(?<!\w)[0-9a-f]{7,64}(?!\w)|(?<!\w)-?\d[\d.,]*(?!\w)|(?<=[A-Za-z])\d{1,4}(?!\w)"
)
_MOST_FACTS = 4_000  # characters of them in one document, if they are more than half of the rest


def check_secrets(where: str, texts: pa.ChunkedArray | str) -> None:
    """Raises ValueError where a text has what looks like a token or a key; of texts nothing is shown."""
    found = (
        _HAS_SECRET.search(texts)
        if isinstance(texts, str)
        else pc.any(pc.match_substring_regex(texts, _SECRET)).as_py()
    )
    if found:
        raise ValueError(f"{where}: it has what looks like a token or a private key; take it out, and revoke it")


def check_document(where: str, text: str) -> None:
    """Raises ValueError where Markdown or code has secrets or encoded bytes."""
    check_secrets(where, text)
    if _DATA_ADDRESS.search(text):
        raise ValueError(f"{where}: it has a file within an address (data:…); link to it instead")
    facts = sum(map(len, _FACTS.findall(text)))
    if facts > max(_MOST_FACTS, (len(text) - facts) / 2):
        raise ValueError(f"{where}: {facts:,} of its characters are numbers, digests and addresses; take them out")
    test = LanguageTest(where)
    test.add([_FACTS.sub(" ", _MARKS.sub(" ", _FACTS.sub(" ", text)))])
    test.finish()


def without_numbers(text: str) -> str:
    """Returns a name without up to two numbers at the ends of words, as in `video49`."""
    return re.sub(r"\d{1,6}(?![^\W_])", "", text, count=2)


class AddressTest:
    """
    As [`LanguageTest`], of names of files, addresses and YouTube ids: the words in them.

    Args:
        what: Of which the texts are, for messages.
    """

    def __init__(self, what: str):
        self._words = LanguageTest(what)

    def add(self, pairs: Iterable[tuple[str | None, str | None]]) -> None:
        """Looks at names and the YouTube ids that belong to them, which may be in them."""
        words = []
        for text, youtube_id in pairs:
            text = (text or "").strip()
            youtube_id = (youtube_id or "").strip()
            if _YOUTUBE_ID.fullmatch(youtube_id):
                text = text.replace(youtube_id, " ")
            words.append(_MARKS.sub(" ", without_numbers(text)))
        self._words.add(words)

    def finish(self) -> None:
        """Looks at what waits. Raises ValueError where it is no language."""
        self._words.finish()
