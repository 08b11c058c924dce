# SPDX-License-Identifier: Apache-2.0
import re
import threading
import time
from collections import Counter
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest

from surglavi_hf.media import decode


class Web:
    """
    A web server on loopback. `pages[path]` is what it serves; `faults[path]` lists what goes wrong with the requests
    for it, one after the other: a status code, "cut" (the body ends half-way), "stall" (it stands still half-way) or
    `None`. The last entry stays. `tags[path]` is its ETag.
    """

    def __init__(self):
        self.pages: dict[str, bytes] = {}
        self.faults: dict[str, list] = {}
        self.tags: dict[str, str] = {}
        self.requests: Counter = Counter()
        self.since: Counter = Counter()
        self.cookies: list[str | None] = []
        self.ranges: list[str | None] = []
        self.delay = 0.0
        self.closed = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                web.answer(self, body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # yt-dlp hangs up where it has seen enough
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request, body):
        path = request.path.split("?")[0]
        self.cookies.append(request.headers.get("Cookie"))
        self.ranges.append(request.headers.get("Range"))
        faults = self.faults.get(path, [None])
        fault = faults[0]
        status = 404 if path not in self.pages else fault if isinstance(fault, int) else 200
        content = self.pages.get(path, b"")
        first = int(re.match(r"bytes=(\d+)-", request.headers.get("Range", "bytes=0-"))[1])
        if status == 200 and first >= max(1, len(content)):
            status = 416
        elif status == 200 and first:
            status, content = 206, content[first:]
        if status >= 400:
            content = b"error"
        if body:
            self.requests[path] += 1
            self.since[path] += 1
            # yt-dlp asks twice: to look at it, to have it. Where the first fails it does not ask again.
            if len(faults) > 1 and self.since[path] == (1 if isinstance(fault, int) else 2):
                faults.pop(0)
                self.since[path] = 0
        request.send_response(status)
        request.send_header("Content-Type", "video/mp4" if status < 400 else "text/plain")
        request.send_header("Content-Length", str(len(content)))
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Set-Cookie", "seen=1; Path=/")
        if path in self.tags:
            request.send_header("ETag", self.tags[path])
        if status == 206:
            total = first + len(content)
            request.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        request.end_headers()
        if not body:
            return
        time.sleep(self.delay)
        try:
            if status < 400 and fault in ("cut", "stall"):
                request.wfile.write(content[: len(content) // 2])
                request.wfile.flush()
                if fault == "stall":
                    self.closed.wait(60)
                request.close_connection = True
            else:
                request.wfile.write(content)
        except OSError:
            request.close_connection = True

    def close(self):
        self.closed.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


@pytest.fixture(params=["auto", "pyav", "torchcodec", "decord"])
def backend(request):
    if request.param not in ("auto", *decode.installed_backends()):
        pytest.skip(f"{request.param} does not work here")
    return request.param


@pytest.fixture
def write_hevc():
    """Writes five grey frames in HEVC, of 8 bits (`yuv420p`) or 10 (`yuv420p10le`)."""

    def write(path, pix_fmt):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx265", rate=5, width=64, height=64, pix_fmt=pix_fmt)
            stream.options = {"x265-params": "log-level=none"}
            for index in range(5):
                picture = np.full((64, 64, 3), 8 * index, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())

    return write


@pytest.fixture
def write_numbered():
    """Writes `count` frames, 25 a second from `start` seconds on; each shows its number, from `first` on."""

    def write(path, first, count, codec="libx264", options=None, start=0.0, sound=False, times=None):
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25, width=128, height=64, pix_fmt="yuv420p")
            stream.options = {"g": "12", "bf": "2", "b": "2000000"} if options is None else options
            tick = Fraction(1, 90000) if codec in ("libx264", "libx265") else Fraction(1, 25)
            stream.codec_context.time_base = tick
            audio = container.add_stream("mp2", rate=48000) if sound else None
            packets = []
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(draw(first + index), format="rgb24")
                time = (index / 25 if times is None else times[index]) + start
                frame.pts, frame.time_base = round(time / tick), tick
                packets += stream.encode(frame)
            packets += stream.encode()
            for index in range(int(count / 25 * 48000) // 1152 if sound else 0):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 2304), np.int16), format="s16", layout="stereo")
                frame.rate, frame.pts = 48000, index * 1152 + round(start * 48000)
                packets += audio.encode(frame)
            for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
                container.mux(packet)
        return path

    return write


def draw(number):
    """Draws a number as eight blocks, the lowest bit at the left, above a bar that moves."""
    picture = np.full((64, 128, 3), 90, np.uint8)
    for bit in range(8):
        picture[:32, 16 * bit : 16 * bit + 16] = 235 if number >> bit & 1 else 20
    picture[40:, number % 100 : number % 100 + 20] = 200
    return picture


def numbers(frames):
    """Returns the numbers that frames of shape `(T, 3, 64, 128)` show."""
    blocks = frames[:, :, 4:28].float().mean(dim=(1, 2)).reshape(len(frames), 8, 16)[:, :, 4:12].mean(dim=2)
    return [sum(1 << bit for bit in range(8) if row[bit] > 128) for row in blocks.tolist()]


def add_sound(source, target):
    """Copies a video and gives it a second of silence."""
    with av.open(str(source)) as video, av.open(str(target), "w") as container:
        picture = container.add_stream_from_template(video.streams.video[0])
        sound = container.add_stream("aac", rate=16000)
        for packet in video.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                container.mux(packet)
        for start in range(0, 16000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = 16000, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
