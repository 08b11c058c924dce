# SPDX-License-Identifier: Apache-2.0
"""Why a video is not there, and of whom that speaks: what yt-dlp says, understood."""

import re
from collections.abc import Sequence
from typing import Literal, get_args

# fmt: off
Status = Literal[
    "ok", "gone", "private", "age", "region", "format", "later", "truncated",
    "rate-limited", "bot-check", "sign-in", "client", "network", "unknown",
]
Subject = Literal["video", "account", "client", "network", "unknown"]
# fmt: on
FAILURES: tuple[Status, ...] = tuple(status for status in get_args(Status) if status != "ok")
SPEAKS_OF: dict[Status, Subject] = dict.fromkeys(get_args(Status), "video") | {
    **dict.fromkeys(("rate-limited", "bot-check", "sign-in"), "account"),
    **{subject: subject for subject in ("client", "network", "unknown")},
}

# Looked for in this order. What can only mean one thing comes first, a bare "not available" nearly last.
_REASONS: tuple[tuple[Status, str], ...] = (
    (
        "later",
        r"\bpremier(es|e will)\b|\blive (event|stream|broadcast)?.{0,9}(will|not|scheduled|has ended)\b|will begin"
        r"|not (yet )?started|upcoming|check back later|not currently live|\boffline\b"
        r"|(still|we're|is) (being )?process|available (yet|after|shortly)|not yet available",
    ),
    (
        "client",
        r"\[errno (2|5|13|17|20|21|24|27|36)\]|impersonat|precondition check|this (request|video) requires websocket",
    ),
    (
        "network",
        r"http error (407|408|5\d\d)|\[(errno|winerror)|failed to resolve|name resolution|getaddrinfo|timed? ?out\b"
        r"|unable to connect|(proxy|socks\d?)\w* ?(error|server|authentication)|to (a |the )?proxy|tunnel connection"
        r"|\bssl|\btls|certificate|handshake|legacy.(renegotiation|server)|eof occurred|remote end|broken pipe"
        r"|connection.{0,20}(reset|refused|abort|closed|broken|error|lost|failed)|failed to (establish|perform)"
        r"|unreachable|no route to host|network (error|is)|incompleteread|bytes read|more expected|bytes, expected"
        r"|content too short|curl: \(\d+\)|transporterror|service (temporarily )?unavailable|bad gateway"
        r"|server (error|disconnected)|max retries exceeded|server-side",
    ),
    (
        "rate-limited",
        r"try again later|rate.?limit|too many (requests|attempts)|http error 429|exceeded .{0,20}(limit|quota)"
        r"|quota exceed",
    ),
    ("age", r"confirm your age|age.?(restrict|verif|gate)|inappropriate|viewer discretion|over 18\b|mature audience"),
    (
        "bot-check",
        r"\b(ro)?bots?\b|captcha|(you're|you are|verify|are you) (a )?human|confirm you're|unusual traffic|suspicious"
        r"|automated (quer|request)|(your|\bip) (ip )?(address )?(is|has been|was|may be).{0,24}(block|ban)"
        r"|by youtube$",
    ),
    (
        "client",
        r"requested format|available (on|in|with|for|to) (this|the|your|current) (latest |current )?(app|device|client"
        r"|browser|platform|version)|version of youtube|playback on other|watch (it |this )?(video )?on youtube"
        r"|needs to be reloaded|reload the page|no longer supported|not supported (on|in|by)|browser is not supported"
        r"|player (response|configuration|client|url|js\b)|identify player|\bn?sig\b|signature|challenge|po.?token"
        r"|\bgvs\b|visitor.?data|data sync id|\bsabr\b|\bdrm\b|javascript|js (runtime|function|player)"
        r"|\bejs\b|\bdeno\b|phantomjs"
        r"|only images|out.of.date|outdated|update (yt-dlp|to|the|your)|please update|ffmpeg|ffprobe|postprocess"
        r"|(must|needs? to) be installed|not installed|missing dependenc|no suitable extractor"
        r"|unable to handle request|unsupported (client|browser)|ytcfg|microformat|innertube|extractor error",
    ),
    (
        "sign-in",
        r"cookies?\b.{0,40}\b(no longer|not|invalid|expired|rotated|missing|database)\b|restricted mode|google apps"
        r"|(workspace|network|domain) administrator|login with (oauth|password)|your (google |youtube )?account",
    ),
    (
        "region",
        r"in your (country|region|location|area)|your location|geo.?(restrict|block)|http error 451"
        r"|available in \w+ only",
    ),
    (
        "private",
        r"private|members?.only|(channel|to|for|premium|music).{0,20}\bmembers\b|join this (youtube )?channel"
        r"|payment|purchase|\brent(al|ed)?\b|\bpaid\b|\bpremium\b|subscri|granted (you )?access|password"
        r"|http error 40[12]\b|\brestricted\b",
    ),
    (
        "gone",
        r"removed|deleted|terminated|suspended|closed (their|the)|no longer (available|exist)|not exist|copyright"
        r"|violat|trademark|isn't available any ?more|recording is not available|has ended|expired",
    ),
    ("sign-in", r"sign.?in\b|log.?in\b|logged.?in|registered users|authenticat|--cookies|--username|unauthorized"),
    (
        "format",
        r"unsupported url|valid url|looks truncated|incomplete youtube id|quote the url|is an address"
        r"|not a (video|media)"
        r"|no ((suitable|supported|valid|playable|embedded) )?(video|media|source|stream|format)s?\b"
        r"|(contain|have) (a|any) (video|.{1,20}tab)|unsupported (format|media|playlist|page)",
    ),
    ("truncated", r"file is empty|data blocks"),
    ("gone", r"unavailable|not available|isn't available|made this video available|not found|http error (404|410)"),
    (
        "client",
        r"please report this issue|on the latest version|(unable|failed) to (extract|parse|decode|load|recognize)",
    ),
)
# What says nothing of a video of YouTube, which answers in words where one is gone, private or not for this country.
_CLIENT_OF_YOUTUBE = r"no video|data blocks|file is empty|(api page|video data|fragment).{0,40}(http error|not found)"
_NAMES = r"\b(content from|claim by|on level:) .*?(?=,? (who|one or more of whom|\(or|it is)\b|$)"  # given by people


def failure_status(message: str, youtube: bool = True, warnings: Sequence[str] = ()) -> Status:
    """
    Returns which status an error of yt-dlp stands for.

    Args:
        message: What it said.
        youtube: Whether the video is YouTube's.
        warnings: What it had warned of, which tells why a client failed: cookies no longer valid, a network down.
    """
    status = _status(message, youtube)
    if status in ("client", "unknown"):
        said = (_status(warning, youtube) for warning in warnings)
        status = next((one for one in said if SPEAKS_OF[one] in ("account", "network")), status)
    return status


def _status(message: str, youtube: bool) -> Status:
    text = _plain(message)
    status = next((status for status, pattern in _REASONS if re.search(pattern, text)), None)
    if youtube and status in ("format", "truncated", "gone") and re.search(_CLIENT_OF_YOUTUBE, text):
        return "client"
    if status:
        return status
    if "http error 403" in text:  # YouTube's answer to who looks like a machine
        return "bot-check" if youtube else "private"
    return "client" if youtube and "http error 4" in text else "unknown"


def _plain(message: str) -> str:
    """Returns a message in lower case, without what stands in it by chance: ids, addresses, names people chose."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", message.lower()).translate({0x2018: "'", 0x2019: "'"})
    text = re.sub(r"^(error: |warning: )?(\[[\w:.+-]+\] (\S+:( |$))?)?", "", text.strip())
    text = re.sub(r"\w+://\S+", " ", text)
    return " ".join(re.sub(_NAMES, r"\1 …", text).split())
