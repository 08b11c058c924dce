# SPDX-License-Identifier: Apache-2.0
import json
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest
import torch
import uvicorn

from surglavi_hf.data import DATABASE_NAME
from surglavi_hf.demo.run import PROMPTS
from surglavi_hf.evaluation.encoders import ClipEncoder
from surglavi_hf.explorer import ExploreOptions, open_explorer
from surglavi_hf.explorer.app import make_app
from surglavi_hf.training.start import new_tiny_model

from ..data.reference import write_database

TOKEN = "a-token-of-the-tests"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def database(tmp_path_factory) -> Path:
    """A database with all that captions can be; nothing may write to it."""
    return write_small_database(tmp_path_factory.mktemp("explorer"))


def write_small_database(folder: Path) -> Path:
    """Six videos, one of them silent, and 60 captions of all levels, flags and lengths; returns the folder."""
    actions = ("dissects", "clips", "cauterises", "sutures", "irrigates")
    things = ("the gallbladder", "the cystic duct", "the liver bed", "a naïve hernia", "the peritoneum")
    videos = [
        {
            "video_id": 10 * number,
            "name": f"video {number}",
            "youtube_id": f"abcdefghi{number:02d}",
            "title": None if number == 3 else f"Operation {number}",
            "duration": 0.0 if number == 4 else 600.0 * number,
            "fps": 25.0,
            "procedure_type": ("cholecystectomy", "hernia repair", None)[number % 3],
        }
        for number in range(1, 7)
    ]
    captions = []
    for number in range(60):
        start = 7.0 * (number // 5)
        length = (3.0, 12.5, 40.0, 0.5, 130.0)[number % 5]
        captions.append(
            {
                "caption_id": number + 1,
                "video_id": 10 * (1 + number % 5),  # the sixth is silent
                "level_id": 1 + number % 3,
                "start_time": start,
                "end_time": start + length,
                "duration": length,
                "caption": None
                if number % 7 == 0
                else f"The surgeon {actions[number % 5]} {things[number // 3 % 5]}.",
                "raw_narration": f"and now we see number {number} of it",
                "is_surgical_content": int(number % 4 != 0),
                "is_descriptive": int(number % 6 != 0),
            }
        )
    transcriptions = [{"transcription_id": 1, "video_id": 10, "file_path": "x.json", "text": "all that was said"}]
    write_database(folder / DATABASE_NAME, videos=videos, captions=captions, transcriptions=transcriptions)
    return folder


@pytest.fixture
def own(database, tmp_path) -> Path:
    """A copy of the small database that may be written beside."""
    shutil.copy(database / DATABASE_NAME, tmp_path / DATABASE_NAME)
    return tmp_path


@pytest.fixture(scope="session")
def encoder() -> ClipEncoder:
    """A tiny SurgCLIP of random weights."""
    torch.manual_seed(0)
    model, processor = new_tiny_model([*PROMPTS["task"], *PROMPTS["phase"]], num_frames=4)
    return ClipEncoder(model.eval(), processor)


@pytest.fixture
def drawn(corpus, tmp_path) -> Path:
    """The drawn corpus, with folders beside it that may be written to."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    for name in (DATABASE_NAME, "corpus.json"):
        shutil.copy(corpus / name, folder / name)
    (folder / "videos").symlink_to(corpus / "videos")
    return folder


@pytest.fixture
def matroska(drawn) -> None:
    """Puts the first video of the drawn corpus into a container that browsers do not play."""
    source = drawn / "videos" / "procedure-001" / "procedure-001.mp4"
    plain = drawn / "plain.mp4"
    plain.write_bytes(source.read_bytes())
    (drawn / "videos").unlink()
    source.parent.mkdir(parents=True)
    with av.open(str(plain)) as read, av.open(str(source), "w", format="matroska") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(read.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)


@dataclass
class Client:
    """Asks a server as a page does."""

    address: str
    cookie: str
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, path: str, body: object = None, method: str | None = None, **headers: str
    ) -> tuple[int, bytes, dict]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        known = {"Cookie": self.cookie} if self.cookie else {}
        request = urllib.request.Request(
            self.address + path,
            data,
            {"Content-Type": "application/json", **known, **self.headers, **headers},
            method=method,
        )
        try:
            with urllib.request.build_opener(_Stay).open(request, timeout=60) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def get(self, path: str) -> object:
        status, content, _ = self.ask(path)
        assert status == 200, (status, content[:300])
        return json.loads(content)

    def post(self, path: str, body: object) -> object:
        status, content, _ = self.ask(path, body)
        assert status == 200, (status, content[:300])
        return json.loads(content)

    def error(self, path: str, body: object = None) -> tuple[int, str]:
        status, content, _ = self.ask(path, body)
        assert status >= 400, content[:300]
        return status, json.loads(content)["error"]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


@pytest.fixture
def serve():
    """Serves an explorer on loopback; returns a client. `token=None` is for everybody."""
    running = []

    def start(data_dir, load_model=None, token=TOKEN, hosts=(), **options) -> Client:
        explorer = open_explorer(data_dir, ExploreOptions(**options), load_model)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        app = make_app(explorer, token, port, ["127.0.0.1", *hosts])
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        running.append((server, thread, listening, explorer))
        client = Client(f"http://127.0.0.1:{port}", "" if token is None else f"surglavi-{port}={token}")
        client.explorer = explorer
        return client

    yield start
    for server, thread, listening, explorer in running:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listening.close()
        explorer.close()


@pytest.fixture(scope="session")
def chromium():
    """A browser without a window."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
