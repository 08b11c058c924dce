# SPDX-License-Identifier: Apache-2.0
"""Which video a row speaks of, however it is written down."""

import re
import unicodedata
from urllib.parse import unquote, urlsplit

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi", ".ts", ".mts", ".m2ts", ".m2t", ".mpg", ".mpeg", ".mpe", ".m2v",
    ".vob", ".dat", ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".ogm", ".3gp", ".3g2", ".divx", ".mxf", ".qt", ".rm",
    ".rmvb", ".dv", ".mp4v", ".mpv", ".mk3d", ".h264", ".264", ".h265", ".265", ".hevc", ".av1", ".ivf", ".y4m",
))
# fmt: on
YOUTUBE_ID = re.compile(r"[\w-]{11}", re.ASCII)
_DOMAINS = r"(?:youtube(?:-nocookie|kids)?\.com|youtube\.googleapis\.com|youtu\.be)\.?"
_YOUTUBE_HOST = re.compile(rf"(?:.*\.)?{_DOMAINS}", re.IGNORECASE)
# Searched for anywhere: an address can be wrapped in another, as by attribution_link?u= or a search engine.
_SITE = rf"(?:(?<![\w-]){_DOMAINS}(?::\d+)?(?=[/?#])|\A(?=/?watch\?))"
# The two names of 11 characters are no ids.
_IN_PATH = rf"{_SITE}/+(?:embed|shorts|live|vi?|e|watch)/+(?!videoseries\b|live_stream\b|watch\b)([\w-]+)"
_IN_QUERY = rf"{_SITE}\S*?[?&;#!]vi?=([\w-]+)"
_SHORT = r"(?<![\w-])youtu\.be\.?(?::\d+)?/+([\w-]+)"
_IDS = [re.compile(pattern, re.ASCII | re.IGNORECASE) for pattern in (_IN_PATH, _IN_QUERY, _SHORT)]
_INVISIBLE = [
    code for code in (*range(0x2070), 0xFEFF) if unicodedata.category(chr(code)) in ("Cc", "Cf")
]  # among them zero-width blanks, which people copy from web pages
BLANKS = "".join(map(chr, _INVISIBLE)) + "".join(filter(str.isspace, map(chr, range(0x3001))))
_ENCODED_TWICE = 2


def video_identity(youtube_id: str | None, url: str | None, name: str | None) -> str:
    """
    Returns what is equal for all rows of one video and for no other: its YouTube id, from the id or else from the
    address; of a video elsewhere the address without what may vary; the name where neither is known; `""` where
    nothing is. A plain id is its own identity.

    Args:
        youtube_id: As it is written: an id, blanks around it or not, or an address that holds one.
        url: Address of the video, YouTube's in any of its forms or another.
        name: Of the video's file.
    """
    known = find_youtube_id(youtube_id, url)
    return known or _other_address(url) or _other_address(youtube_id) or (name or "").strip(BLANKS)


def find_youtube_id(youtube_id: str | None, url: str | None = None) -> str | None:
    """
    Returns the YouTube id that an id or an address holds, case kept; the first of 11 characters, else the first;
    `None` where there is none.
    """
    if youtube_id and YOUTUBE_ID.fullmatch(youtube_id):  # nearly always
        return youtube_id
    own, linked = _clean(youtube_id), _clean(url)
    candidates = [_id_in_address(own), None if "/" in own else own, _id_in_address(linked)]
    if YOUTUBE_ID.fullmatch(linked):
        candidates.append(linked)
    found = [candidate for candidate in candidates if candidate]
    return next(filter(YOUTUBE_ID.fullmatch, found), found[0] if found else None)


def named_video(text: str) -> str:
    """Returns a video as tables name it: without folders, which may be of another machine, and without a suffix."""
    name = text.replace("\\", "/").rpartition("/")[2].strip(BLANKS)
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in VIDEO_SUFFIXES else name


def is_youtube(address: str) -> bool:
    """Whether an address is YouTube's."""
    return bool(_YOUTUBE_HOST.fullmatch(_parts(address)[0]))


def _clean(text: str | None) -> str:
    text = text or ""
    for _ in range(_ENCODED_TWICE):
        text = unquote(text)
    return text.translate(dict.fromkeys(_INVISIBLE)).strip(BLANKS)


def _id_in_address(address: str) -> str | None:
    matches = (pattern.search(address) for pattern in _IDS)
    return next((match[1] for match in matches if match), None)


def _other_address(address: str | None) -> str | None:
    """Returns an address that is not YouTube's without scheme, `www.`, fragment and order of its parameters."""
    host, path, query = _parts(address)
    if "." not in host or not (path or query) or _YOUTUBE_HOST.fullmatch(host):
        return None  # no address, or the front page of a site
    parameters = "&".join(sorted(filter(None, query.split("&"))))
    return f"{host.removeprefix('www.')}{path}{parameters and '?'}{parameters}"


def _parts(address: str | None) -> tuple[str, str, str]:
    """Returns host, path and query of an address, which may lack its scheme."""
    address = (address or "").translate(dict.fromkeys(_INVISIBLE)).strip(BLANKS)
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        return parts.hostname or "", parts.path.rstrip("/"), parts.query
    except ValueError:
        return "", "", ""
