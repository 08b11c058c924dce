# SPDX-License-Identifier: Apache-2.0
"""Parts of files that an earlier download left, gone on with only while they are of the file that the server has."""

import json
from pathlib import Path
from typing import Any

import yt_dlp
from yt_dlp.networking import Request, Response
from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.utils import parse_http_range

_STAMPED = ("ETag", "Last-Modified")


class CarefulYoutubeDL(yt_dlp.YoutubeDL):
    """
    yt-dlp, which of itself goes on with whatever part lies there, whatever file the server has by now, and fails for
    ever where the part is longer. Here a stamp beside a part says which file it is of.
    """

    _file: "_File | None" = None

    def dl(self, name: str, info: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        """Downloads one file; yt-dlp calls it for each."""
        file = _File(name, info.get("url"))
        if info.get("protocol") not in ("http", "https"):
            file.drop()  # what is made of many files tells not which
            return super().dl(name, info, *arguments, **options)
        self._file = file
        try:
            return super().dl(name, info, *arguments, **options)
        finally:
            self._file = None

    def urlopen(self, req: Request | str) -> Response:
        """Opens an address. Where it is that of a part that cannot be gone on with, it opens it from the start."""
        file = self._file
        if file is None or not isinstance(req, Request) or req.url != file.url:
            return super().urlopen(req)
        if "Range" in req.headers and file.has_part():
            try:
                response = super().urlopen(req)
            except HTTPError as error:
                if error.status != 416:
                    raise
            else:
                if file.is_of(response):
                    return response
                response.close()
            if file.begun:  # and is open for writing
                raise TransportError("network error: the file on the server changed while it was downloaded")
            req = req.copy()
            del req.headers["Range"]
        response = super().urlopen(req)
        file.begin(response)
        return response


class _File:
    """A file to download, with what an earlier run left of it."""

    def __init__(self, name: str, url: str | None):
        self.url = Request(url).url if url else None
        self.begun = False
        self._name = Path(name)
        self._part = Path(f"{name}.part")
        self._stamp = Path(f"{name}.stamp")

    def has_part(self) -> bool:
        return self._part.is_file() and self._part.stat().st_size > 0

    def is_of(self, response: Response) -> bool:
        """Whether the part is of the file that a server answers with."""
        try:
            return json.loads(self._stamp.read_text()) == (stamp := _stamp(response)) and any(stamp.values())
        except (OSError, ValueError):
            return False

    def begin(self, response: Response) -> None:
        """Drops the part, and stamps the one that is to come."""
        self.drop()
        self._stamp.write_text(json.dumps(_stamp(response)))
        self.begun = True

    def drop(self) -> None:
        """Deletes what an earlier run left, but for a file that is whole."""
        for path in self._name.parent.iterdir():
            if path.name.startswith(f"{self._name.name}."):
                path.unlink()


def _stamp(response: Response) -> dict[str, Any]:
    _, _, total = parse_http_range(response.headers.get("Content-Range"))
    length = response.headers.get("Content-Length")
    if total is None and response.status == 200 and length and length.isdecimal():
        total = int(length)
    return {name: response.headers.get(name) for name in _STAMPED} | {"total": total}
