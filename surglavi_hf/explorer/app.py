# SPDX-License-Identifier: Apache-2.0
"""Which address gives what: pages, their values as JSON, pictures and videos."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import anyio
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..data import Level
from ..data.reviews import ReviewConflict
from ..files import printable
from ..media import VideoDecodeError
from ..media.pictures import as_jpeg, side_by_side
from .answers import NotComputedError
from .guard import Guard
from .pages import Explorer, review_json
from .reviewing import review, take_down

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
# Whose state is in their address; the page reads it.
PAGES = (
    "/",
    "/captions",
    "/videos",
    "/search",
    "/video/{video_id:int}",
    "/benchmark",
    "/benchmark/{name}",
    "/reviews",
)
_LARGEST_BODY = 256 << 10
_PICTURES_AT_ONCE, _ANSWERS_AT_ONCE = 2, 4
_KEEP = {"cache-control": "private, max-age=600"}
_HEIGHTS = (48, 1080)
_STRIP_FRAMES = 12

Answer = Callable[[Request], Awaitable[Response]]


def make_app(explorer: Explorer, token: str | None, port: int, hosts: Sequence[str]) -> Starlette:
    """
    Returns the server's application.

    Args:
        explorer: What it shows.
        token: That is asked for; None for nobody's.
        port: It listens at.
        hosts: Names that it goes by; requests that call it otherwise are refused.
    """
    pictures = CapacityLimiter(_PICTURES_AT_ONCE)  # each takes a core for a moment
    counting = CapacityLimiter(_ANSWERS_AT_ONCE)  # more threads take memory and no less time

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    def values(make: Callable[[Request], Any]) -> Answer:
        """What is computed for a page, beside the loop that answers."""

        @wraps(make)
        async def answer(request: Request) -> Response:
            return await _said(lambda: make(request), explorer, counting)

        return answer

    def posted(make: Callable[[Request, Mapping[str, Any]], Any], changes: bool = True) -> Answer:
        @wraps(make)
        async def answer(request: Request) -> Response:
            if changes and explorer.public:
                return _error(403, "this explorer is open to everybody, and starts no work")
            body = await _body(request)
            if isinstance(body, Response):
                return body
            return await _said(lambda: make(request, body), explorer, counting)

        return answer

    def picture(make: Callable[[Request], bytes]) -> Answer:
        @wraps(make)
        async def answer(request: Request) -> Response:
            try:
                image = await anyio.to_thread.run_sync(lambda: make(request), limiter=pictures)
            except (OSError, ValueError, VideoDecodeError) as error:
                return _failed(error, explorer)
            return Response(image, media_type="image/jpeg", headers=_KEEP)

        return answer

    def overview(request: Request) -> Any:
        return _corpus(explorer).facets.overview(_query(request))

    def left_out(request: Request) -> Any:
        return _corpus(explorer).left_out()

    def captions(request: Request) -> Any:
        return _corpus(explorer).captions(_query(request), *_window(request))

    def videos(request: Request) -> Any:
        return _corpus(explorer).videos(_query(request), *_window(request))

    def search(request: Request) -> Any:
        like = request.query_params.get("like")
        text = request.query_params.get("q", "")
        return _corpus(explorer).search(_query(request), text, None if like is None else _number(like, "like"))

    def video(request: Request) -> Any:
        _corpus(explorer).corpus.refresh()
        return explorer.video(request.path_params["video_id"])

    def media(request: Request) -> Any:
        return _corpus(explorer).media(request.path_params["video_id"])

    async def media_file(request: Request) -> Response:
        try:
            path = await run_in_threadpool(_corpus(explorer).media_path, request.path_params["video_id"])
        except (OSError, ValueError) as error:
            return _failed(error, explorer)
        kind = "video/webm" if path.open("rb").read(4) == b"\x1a\x45\xdf\xa3" else "video/mp4"
        return FileResponse(path, media_type=kind, headers={"cache-control": "private, no-cache"})

    def frame(request: Request) -> bytes:
        seconds = _seconds(request.query_params.get("t", "0"))
        return _corpus(explorer).frame(request.path_params["video_id"], seconds, _height(request))

    def strip(request: Request) -> bytes:
        count = min(max(_number(request.query_params.get("n", "6"), "n"), 1), _STRIP_FRAMES)
        return side_by_side(_corpus(explorer).strip(request.path_params["caption_id"], count, _height(request)))

    def ribbon(request: Request, body: Mapping[str, Any]) -> Any:
        level = str(body.get("level", "phase"))
        if level.upper() not in Level.__members__:
            raise ValueError(f"level={level[:40]!r}, expected phase, step or task")
        return _answers(explorer).ribbon(
            explorer.place_of(request.path_params["video_id"]),
            _text(body, "prompts"),
            Level[level.upper()],
            _seconds(body.get("smoothing", 0)),
        )

    def curve(request: Request, body: Mapping[str, Any]) -> Any:
        like = body.get("like")
        return _answers(explorer).curve(
            explorer.place_of(request.path_params["video_id"]),
            _text(body, "text"),
            None if like is None else _number(like, "like"),
        )

    def watch(request: Request, body: Mapping[str, Any]) -> Any:
        place = explorer.place_of(request.path_params["video_id"])
        if body.get("stop"):
            job = _answers(explorer).jobs.get(place)
            if job is not None:
                job.stop()
            return job.as_json() if job else None
        return _answers(explorer).watch(place).as_json()

    def state(request: Request) -> Any:
        return _answers(explorer).state(explorer.place_of(request.path_params["video_id"]))

    def copy(request: Request, body: Mapping[str, Any]) -> Any:
        return _corpus(explorer).make_copy(request.path_params["video_id"]).as_json()

    def post_review(request: Request, body: Mapping[str, Any]) -> Any:
        made = review(explorer, body)
        return {"review": review_json(made), "caption": explorer.caption(explorer.corpus.row_of[made.caption_id])}

    def post_takedown(request: Request, body: Mapping[str, Any]) -> Any:
        return {"entry": take_down(explorer, body)}

    def history(request: Request) -> Any:
        return _corpus(explorer).history(request.path_params["caption_id"])

    def recent(request: Request) -> Any:
        _corpus(explorer).corpus.refresh()
        return explorer.recent()

    def version(request: Request) -> Any:
        _corpus(explorer).corpus.refresh()
        return {"version": explorer.corpus.version}

    def benchmark(request: Request) -> Any:
        return _reports(explorer).overview()

    def report(request: Request) -> Any:
        return _reports(explorer).details(request.query_params.get("name", ""))

    def benchmark_video(request: Request) -> Any:
        return _reports(explorer).video(request.path_params["name"], request.query_params.getlist("report"))

    def benchmark_frame(request: Request) -> bytes:
        seconds = _seconds(request.query_params.get("t", "0"))
        return as_jpeg(_reports(explorer).picture(request.path_params["name"], seconds), _height(request))

    async def benchmark_media(request: Request) -> Response:
        try:
            path = _reports(explorer).video_path(request.path_params["name"])
        except (OSError, ValueError) as error:
            return _failed(error, explorer)
        return FileResponse(path, media_type="video/mp4", headers={"cache-control": "private, no-cache"})

    def get(path: str, make: Callable[[Request], Any]) -> Route:
        return Route(path, values(make), methods=["GET"])

    def post(path: str, make: Callable[[Request, Mapping[str, Any]], Any], changes: bool = True) -> Route:
        return Route(path, posted(make, changes), methods=["POST"])

    api = [
        get("/about", lambda request: explorer.about()),
        get("/overview", overview),
        get("/left-out", left_out),
        get("/captions", captions),
        get("/videos", videos),
        get("/search", search),
        get("/video/{video_id:int}", video),
        get("/video/{video_id:int}/media", media),
        post("/video/{video_id:int}/copy", copy),
        get("/video/{video_id:int}/state", state),
        post("/video/{video_id:int}/watch", watch),
        post("/video/{video_id:int}/ribbon", ribbon, changes=False),
        post("/video/{video_id:int}/curve", curve, changes=False),
        get("/caption/{caption_id:int}/reviews", history),
        get("/reviews", recent),
        get("/version", version),
        post("/reviews", post_review),
        post("/takedown", post_takedown),
        get("/benchmark", benchmark),
        get("/report", report),
        get("/benchmark/{name}", benchmark_video),
    ]

    async def nothing(request: Request, error: Exception) -> Response:
        """The page that says so, for people; a line for scripts."""
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return FileResponse(STATIC / "index.html", 404, headers={"cache-control": "no-cache"})
        return _error(404, "there is nothing at this address")

    routes = [
        *(Route(path, page, methods=["GET"]) for path in PAGES),
        Mount("/api", routes=api, middleware=[Middleware(GZipMiddleware, minimum_size=4096, compresslevel=1)]),
        Route("/media/{video_id:int}", media_file, methods=["GET"]),
        Route("/frame/{video_id:int}.jpg", picture(frame), methods=["GET"]),
        Route("/strip/{caption_id:int}.jpg", picture(strip), methods=["GET"]),
        Route("/benchmark-frame/{name}.jpg", picture(benchmark_frame), methods=["GET"]),
        Route("/benchmark-media/{name}", benchmark_media, methods=["GET"]),
        Mount("/static", _Static(directory=STATIC)),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        Middleware(Guard, token=token, port=port),
    ]
    return Starlette(routes=routes, middleware=middleware, exception_handlers={404: nothing})


class _Static(StaticFiles):
    """Asked for again each time; what did not change is not sent again."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


async def _said(make: Callable[[], Any], explorer: Explorer, limiter: CapacityLimiter) -> Response:
    try:
        return JSONResponse(await anyio.to_thread.run_sync(make, limiter=limiter))
    except (OSError, ValueError, VideoDecodeError, NotComputedError) as error:
        return _failed(error, explorer)


def _failed(error: Exception, explorer: Explorer) -> Response:
    line = printable((str(error).strip().splitlines() or [type(error).__name__])[0])
    if isinstance(error, ReviewConflict):
        return JSONResponse({"error": line, "latest": review_json(error.latest)}, 409)
    if isinstance(error, NotComputedError):
        return JSONResponse({"error": line, "computable": True}, 409)
    if isinstance(error, PermissionError):
        return _error(403, line)
    if isinstance(error, FileNotFoundError):
        return _error(404, line if error.filename is None else "it is not there")
    if isinstance(error, VideoDecodeError):
        return _error(422, "it cannot be decoded" if explorer.public else line)
    if isinstance(error, OSError):
        logger.warning("%s", line)
        return _error(500, "the disk cannot be read" if explorer.public else line)
    return _error(400, line)


def _error(status: int, line: str) -> Response:
    return JSONResponse({"error": line}, status)


async def _body(request: Request) -> Mapping[str, Any] | Response:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return _error(415, "expected application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_BODY:
            return _error(413, f"over {_LARGEST_BODY:,} bytes")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return _error(400, "expected JSON")
    return found if isinstance(found, dict) else _error(400, "expected an object")


def _corpus(explorer: Explorer) -> Explorer:
    if explorer.corpus is None:
        raise FileNotFoundError("there is no corpus here; start surglavi explore with --data-dir")
    return explorer


def _answers(explorer: Explorer) -> Any:
    if _corpus(explorer).answers is None:
        raise FileNotFoundError("there is no model here; start surglavi explore with --model or --index")
    return explorer.answers


def _reports(explorer: Explorer) -> Any:
    if explorer.reports is None:
        raise FileNotFoundError("there is no benchmark here; start surglavi explore with --benchmark")
    return explorer.reports


def _query(request: Request) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name, []).append(value)
    return query


def _window(request: Request) -> tuple[int, int]:
    offset, limit = (
        _number(request.query_params.get(name, at), name) for name, at in (("offset", "0"), ("limit", "100"))
    )
    if offset < 0 or limit < 0:
        raise ValueError(f"offset={offset}, limit={limit}, expected 0 or more")
    return offset, limit


def _number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > 18:
        raise ValueError(f"{name} is no whole number")
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{name}={str(value)[:40]!r}, expected a whole number") from None


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= 1e7:
        raise ValueError(f"{str(value)[:40]!r}, expected seconds")
    return seconds


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value


def _height(request: Request) -> int:
    return min(max(_number(request.query_params.get("height", "360"), "height"), _HEIGHTS[0]), _HEIGHTS[1])
