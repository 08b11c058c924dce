# SPDX-License-Identifier: Apache-2.0
import csv

import pytest

from surglavi_hf.media.reasons import FAILURES, SPEAKS_OF, failure_status

HINT = (
    "Use --cookies-from-browser or --cookies for the authentication. See  https://x.org/FAQ  for how to pass cookies"
)
REPORT = "; please report this issue on  https://x.org , Confirm you are on the latest version using  yt-dlp -U"
# As yt-dlp and YouTube say it.
SAID = {
    "gone": [
        "Video unavailable",
        "This video isn't available anymore",
        "This video is not available",
        "Video unavailable. This video has been removed by the uploader",
        "This video has been removed for violating YouTube's policy on violent or graphic content",
        "This video is no longer available because the YouTube account has been terminated.",
        "Video unavailable. This video is no longer available because the uploader has closed their YouTube account.",
        "This video is no longer available due to a copyright claim by Robot Surgery Network SSL Ltd",
        "This video contains content from DRM Proxy Inc, who has blocked it on copyright grounds",
        "This video does not exist.",
        "This live stream recording is not available.",
        "Unable to download webpage: HTTP Error 404: Not Found",
        "HTTP Error 410: Gone",
    ],
    "private": [
        "Private video. Sign in if you've been granted access to this video",
        f"Private video. Sign in if you've been granted access to this video. {HINT}",
        "This video is private",
        "Join this channel to get access to members-only content like this video, and other exclusive perks.",
        "This video is available to this channel's members on level: No bots (or any higher level). Join it.",
        "This video requires payment to watch.",
        "This video is only available to Music Premium members",
        "Password protected video, use --video-password <password>",
    ],
    "age": [
        f"Sign in to confirm your age. This video may be inappropriate for some users. {HINT}",
        "Age-restricted; requires authentication",
        "The following content has been identified by the YouTube community as inappropriate or offensive",
    ],
    "region": [
        "Video unavailable. The uploader has not made this video available in your country",
        "This video contains content from Robot TV and SSL, one or more of whom have blocked it in your country",
        "This video is not available from your location due to geo restriction",
        "HTTP Error 451: Unavailable For Legal Reasons",
    ],
    "later": [
        *("Premieres in 2 hours", "Premiere will begin shortly", "This live event will begin in 3 days."),
        *("This live event will begin in a few moments.", "This live event has ended.", "Offline."),
        "We're processing this video. Check back later.",
        "The channel is not currently live",
    ],
    "format": [
        "Unsupported URL: https://example.org/ffmpeg-drm",
        "Incomplete YouTube ID abc. URL https://www.youtube.com/watch?v=abc looks truncated.",
        "This channel does not have a videos tab",
    ],
    "rate-limited": [
        "Video unavailable. This content isn’t available, try again later.",
        "Your account has been rate-limited by YouTube for up to an hour.",
        "Unable to download webpage: HTTP Error 429: Too Many Requests",
    ],
    "bot-check": [
        f"Sign in to confirm you’re not a bot. {HINT}",
        "Sign in to confirm you're not a bot. YouTube is requiring a captcha challenge before playback",
        "Our systems have detected unusual traffic from your computer network",
        "All player responses are invalid. Your IP is likely being blocked by Youtube",
        "unable to download video data: HTTP Error 403: Forbidden",
    ],
    "sign-in": [
        f"Please sign in. {HINT}",
        "This video is only available for registered users. Use --cookies",
        "Login details are needed to download this content",
        "The provided YouTube account cookies are no longer valid. They have likely been rotated",
        "Video is restricted. Please check the Google Workspace administrator and/or the network administrator",
    ],
    "client": [
        "Requested format is not available. Use --list-formats for a list of available formats",
        "Video unavailable. The following content is not available on this app.. Watch on the latest version",
        "YouTube is no longer supported in this application or device",
        "Playback on other websites has been disabled by the video owner",
        "This video is DRM protected",
        "The page needs to be reloaded.",
        f"Failed to extract any player response{REPORT}",
        f"Unable to extract yt initial data{REPORT}",
        f"Signature extraction failed: Some formats may be missing{REPORT}",
        f"An extractor error has occurred. (caused by KeyError('x')){REPORT}",
        "nsig extraction failed: Some formats may be missing",
        "n challenge solving failed: Some formats may be missing",
        "No supported JavaScript runtime could be found. Only deno is enabled by default",
        "Only images are available for download. Use --list-formats to see them",
        f"No video formats found!{REPORT}",
        "web client https formats require a GVS PO Token which was not provided",
        "Unable to download API page: HTTP Error 400: Bad Request",
        "Unable to download API page: HTTP Error 404: Not Found",
        "fragment 1 not found, unable to continue",
        "Did not get any data blocks",
        "The downloaded file is empty",
        "Your yt-dlp version is outdated. Please update yt-dlp",
        "Postprocessing: ffprobe and ffmpeg not found. Please install or provide the path using --ffmpeg-location",
        "Got HTTP Error 403 caused by Cloudflare anti-bot challenge; try again with generic:impersonate",
        "Login with OAuth is no longer supported",
        *("Could not find JS function 'decodeURIComponent'", "Unsupported browser", "Missing microformat data"),
    ],
    "network": [
        "Unable to download webpage: The read operation timed out",
        "Unable to download API page: Failed to resolve 'www.youtube.com' ([Errno -3] Temporary failure)",
        "HTTP Error 500: Internal Server Error",
        "HTTP Error 503: Service Unavailable",
        "<urlopen error [Errno 11] Resource temporarily unavailable>",
        "Failed to resolve 'drmartin.org'",
        "Unable to connect to proxy",
        "Tunnel connection failed: 407 Proxy Authentication Required",
        "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
        "[Errno 104] Connection reset by peer",
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired",
        "EOF occurred in violation of protocol (_ssl.c:1007)",
        "Failed to perform, curl: (28) Operation timed out",
        "A network error has occurred. (caused by IncompleteRead('5 bytes read'))",
        "46218 bytes read, 46218 more expected. Giving up after 3 retries",
        "Downloaded 100 bytes, expected 200 bytes",
        "content too short (expected 9 bytes and served 4)",
    ],
    "unknown": ["something new", ""],
}


@pytest.mark.parametrize("status, message", [(status, message) for status, said in SAID.items() for message in said])
def test_failure_status(status, message):
    assert failure_status(f"ERROR: [youtube] -9uZldT-tSk: {message}") == status
    assert failure_status(f"\x1b[0;31mERROR:\x1b[0m [youtube] -bot-drm_SS: {message}") == status, "by the id"
    assert failure_status(message) == status


def test_each_status_speaks_of_somebody():
    assert set(SAID) | {"truncated"} == set(FAILURES)
    assert {SPEAKS_OF[status] for status in FAILURES} == {"video", "account", "client", "network", "unknown"}


def test_elsewhere():
    """Other servers say with codes what YouTube says with words."""
    assert failure_status("HTTP Error 403: Forbidden", youtube=False) == "private"
    assert failure_status(f"[generic] x: No video formats found!{REPORT}", youtube=False) == "format"
    assert failure_status("unable to download video data: HTTP Error 404: Not Found", youtube=False) == "gone"
    assert failure_status("ERROR: [generic] ssl-proxy-drm: HTTP Error 404: Not Found", youtube=False) == "gone"


def test_warnings_tell_why_a_client_failed():
    message = "Requested format is not available"
    invalid = "The provided YouTube account cookies are no longer valid."
    assert failure_status(message, warnings=["n challenge solving failed", invalid]) == "sign-in"
    assert failure_status("Failed to extract any player response", warnings=["Failed to resolve 'x'"]) == "network"
    assert failure_status("Video unavailable. It has been removed", warnings=[invalid]) == "gone"


def test_messages_that_people_met(shared):
    with (shared / "cases" / "youtube_messages.tsv").open(encoding="utf-8") as file:
        for speaks_of, message, _ in list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]:
            status = failure_status(f"ERROR: [youtube] -9uZldT-tSk: {message}")
            assert SPEAKS_OF[status] == speaks_of.split(",")[0], message
            assert (status == "later") == speaks_of.endswith("later"), message
