# SPDX-License-Identifier: Apache-2.0
import json
import os
import random
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from surglavi_hf.data import DATABASE_NAME, Clip

from .reference import write_database


@pytest.fixture(scope="session")
def database(tmp_path_factory) -> Path:
    """600 captions of 39 videos: NULLs, orphans, durations on and around the limits. Nothing may write to it."""
    rng = random.Random(0)
    videos = [
        {"video_id": index, "name": f"v{index}", "youtube_id": f"id{index}", "title": f"Vidéo {index}", "fps": 25}
        for index in range(1, 40)
    ]
    captions = []
    for index in range(1, 601):
        start, duration = rng.uniform(0, 100), rng.choice([0, 0.5, 3, 3.0000001, 200, 500, 500.001, 6000])
        captions.append(
            {
                "caption_id": index,
                "video_id": rng.randint(1, 45),  # some have no video
                "level_id": rng.randint(1, 3),
                "raw_narration": f"raw {index}",
                "start_time": start,
                "end_time": start + duration,
                "duration": duration,
                "is_surgical_content": rng.choice([0, 1, 1, None]),
                "is_descriptive": rng.choice([0, 1, 1, None]),
                "caption": rng.choice([f"Enriched {index}: naïve “quotes”", None]),
            }
        )
    path = tmp_path_factory.mktemp("database") / DATABASE_NAME
    return write_database(path, videos=videos, captions=captions)


class Hub:
    """As much of the Hub as serves the files of any dataset, on loopback."""

    commit = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self, home: Path):
        self.home, self.files = home, {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                content = hub.files.get(self.path.rpartition("/")[2]) if "/resolve/" in self.path else None
                if self.path.startswith("/api/datasets/"):
                    files = [{"type": "file", "path": name, "size": 1, "oid": "0"} for name in hub.files]
                    about = {"id": "aleperez24/SurgLaVi", "sha": hub.commit, "siblings": []}
                    content = json.dumps(files if "/tree/" in self.path else about).encode()
                self.send_response(404 if content is None else 200)
                if content is None:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("X-Repo-Commit", hub.commit)
                self.send_header("ETag", f'"{hash(content)}"')
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content or b"")

            do_HEAD = do_GET

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def run(self, code: str, **environment: str) -> subprocess.CompletedProcess:
        """Runs Python with this Hub and a cache of its own."""
        url = f"http://127.0.0.1:{self.server.server_port}"
        environment = {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "no_proxy": "127.0.0.1"} | environment
        environment = os.environ | {"HF_HOME": str(self.home)} | environment
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@pytest.fixture
def hub(tmp_path):
    hub = Hub(tmp_path / "home")
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def clip(tmp_path, write_video):
    """Thirty frames of 0.1 s; the clip is the second of its three seconds."""
    write_video(tmp_path / "videos" / "v" / "v.mp4", [index / 10 for index in range(30)])
    return Clip("v", 1.0, 2.0, str(tmp_path))
