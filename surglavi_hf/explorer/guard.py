# SPDX-License-Identifier: Apache-2.0
"""Who may ask: a token, the names this server goes by, the page's own origin; and what a page may load."""

import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# No code or style but files of this server's, no other host for anything; uPlot and Preact set styles by script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_A_YEAR_S = 365 * 24 * 3600
_HUB = "https://huggingface.co"  # whose page shows a Space in a frame


class Guard:
    """
    Lets through who knows the token, by the address or the cookie that it left; and takes what changes something from
    pages of this server alone.

    Args:
        app: What is guarded.
        token: None where it is open to everybody.
        port: Of the server; cookies are of a host, whatever the port.
    """

    def __init__(self, app: ASGIApp, token: str | None, port: int):
        self.app, self.token = app, token
        self.cookie = f"surglavi-{port}"
        self.policy = _POLICY.format(ancestors="'none'" if token is not None else f"'self' {_HUB}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = self.policy
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD") and not _is_own(headers):
            return PlainTextResponse("This was sent by a page of another server.", 403)
        if self.token is None or self._known(headers):
            return None
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(asked).get("token", "")
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return PlainTextResponse(
                "This explorer wants its token: open the address that surglavi explore printed, once.", 403
            )
        # Out of the address, so that a copied one does not hold it.
        rest = urlencode([(name, value) for name, value in asked if name != "token"])
        response = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(self.cookie, self.token, max_age=_A_YEAR_S, httponly=True, samesite="strict")
        return response

    def _known(self, headers: Headers) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return found is not None and secrets.compare_digest(found.value.encode(), self.token.encode())


def _is_own(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is None:  # no browser; a page's own script always says one
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return urlsplit(origin).netloc == headers.get("host")
