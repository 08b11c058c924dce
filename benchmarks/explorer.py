# SPDX-License-Identifier: Apache-2.0
"""The explorer over HTTP and in Chromium: how long people wait, and what the server holds.

Peer of the search by words, in the same run: `LIKE` over the database, as a viewer without an index would ask it.

    python benchmarks/explorer.py DIR          # that holds surglavi_beta.db, of real size

Writes to a temporary folder alone. Without Chromium what needs a browser is left out.
"""

import argparse
import http.client
import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

import surglavi_hf
from surglavi_hf.data import DATABASE_NAME, Embeddings, Level
from surglavi_hf.data.write_database import NewCaption, NewVideo, write_database
from surglavi_hf.media import VideoLibrary

VECTORS, DIMENSION = 240_000, 256
INTERVALS, HOURS = 700, 2
FACETS = (
    "level=task",
    "level=phase&surgical=yes",
    "descriptive=no",
    "length=10–20 s",
    "words=20–30",
    "video_length=5–10 min",
)
WORDS = (
    *("gallbladder", "cystic duct", "dissect*", '"the cystic duct"', "hook electrocautery", "hernia mesh", "suture"),
    *("the", "surgeon", "of the", "and", "a", "in", "is", "with the", "to"),  # stop words
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def server(*arguments: str) -> Iterator[tuple[subprocess.Popen, str, str, float]]:
    """Starts the command; yields its process, address, cookie and how long it took to answer."""
    started = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-m", "surglavi_hf.cli", "explore", "--no-browser", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline()
        port, token = re.search(r":(\d+)/\?token=(\S+)", line).groups()
        cookie = f"surglavi-{port}={token}"
        ask(f"127.0.0.1:{port}", cookie, ["/api/overview"])
        yield process, f"127.0.0.1:{port}", cookie, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(20)


def ask(host: str, cookie: str, paths: Iterable[str], body: dict | None = None) -> list[float]:
    """Returns how long each answer took, in milliseconds, on one connection as a browser keeps it."""
    connection, times = http.client.HTTPConnection(host), []
    for path in paths:
        started = time.perf_counter()
        content = None if body is None else json.dumps(body)
        headers = {"Cookie": cookie, "Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", quote(path, safe="/?&=*%"), content, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, (path, answer.status)
        times.append(1000 * (time.perf_counter() - started))
    connection.close()
    return times


def p95(times: list[float]) -> str:
    return f"{np.percentile(times, 95):.0f} ms (median {np.median(times):.0f})"


def held(process: subprocess.Popen) -> str:
    """Of its own, and of files that are mapped, which the system takes back where others need it."""
    memory = psutil.Process(process.pid).memory_full_info()
    own = memory.rss - memory.shared
    return f"{own / 1e6:.0f} MB, and {(memory.uss - own) / 1e6:.0f} MB of mapped files"


def like(database: Path, words: str) -> float:
    started = time.perf_counter()
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        every = ["%" + re.sub(r"\W", "", word) + "%" for word in words.split()]
        where = " AND ".join("(caption LIKE ? OR raw_narration LIKE ?)" for _ in every)
        connection.execute(
            f"SELECT caption_id FROM captions WHERE {where}", [word for one in every for word in (one, one)]
        ).fetchall()
    return 1000 * (time.perf_counter() - started)


def write_long_video(path: Path) -> None:
    """Two hours, small, with a key frame every five seconds, as downloads have."""
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.options = {"g": "50", "preset": "ultrafast", "crf": "30"}
        stream.codec_context.time_base = Fraction(1, 10)
        picture = np.zeros((180, 320, 3), np.uint8)
        for index in range(HOURS * 3600 * 10):
            picture[:, :, 0] = index // 3600
            picture[60:120, index % 260 : index % 260 + 60] = 255 - index % 200
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_dense_corpus(folder: Path) -> None:
    """One long video with 700 nested intervals."""
    length = HOURS * 3600 / 500
    captions = [
        NewCaption(Level.TASK, n * length, (n + 1) * length, f"Task {n} is done.", f"task {n}") for n in range(500)
    ]
    captions += [NewCaption(Level.STEP, n * 3 * length, (n + 1) * 3 * length, f"Step {n}.", "") for n in range(160)]
    captions += [NewCaption(Level.PHASE, n * 12 * length, (n + 1) * 12 * length, f"Phase {n}.", "") for n in range(40)]
    assert len(captions) == INTERVALS
    write_long_video(VideoLibrary(folder).video_path("long"))
    columns = {"name": "long", "title": "Two hours", "duration": float(HOURS * 3600)}
    write_database(folder / DATABASE_NAME, [NewVideo(columns, captions)])


def in_browser(host: str, token: str) -> dict[str, str]:
    """Returns what is measured in Chromium on the page of the long video."""
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(f"http://{host}/?token={token}")
        times = []
        for _ in range(10):
            started = time.perf_counter()
            page.goto(f"http://{host}/video/1")
            page.wait_for_selector(f".interval >> nth={INTERVALS - 1}")
            times.append(1000 * (time.perf_counter() - started))
        found[f"page of a video with {INTERVALS} intervals, drawn"] = p95(times)
        page.wait_for_selector("video")
        seek = """async (time) => {
            const video = document.querySelector("video");
            const before = performance.now();
            const sought = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
            video.currentTime = time;
            await sought;
            return performance.now() - before;
        }"""
        while page.evaluate("document.querySelector('video').readyState") < 1:
            page.wait_for_timeout(50)
        places = np.random.default_rng(0).uniform(0, HOURS * 3600 - 5, 20)
        found[f"seek in a file of {HOURS} hours"] = p95([page.evaluate(seek, float(place)) for place in places])
        for name, zoom in (("whole", 0), ("zoomed in", 8)):
            for _ in range(zoom):
                page.keyboard.press("+")
            found[f"scrubbing lanes of {INTERVALS} intervals, {name}"] = f"{scrub(page):.0f} frames/s"
        browser.close()
    return found


def scrub(page) -> float:
    """Frames a second that are drawn while the pointer is drawn over the ruler."""
    page.evaluate("""() => {
        window.drawn = [];
        const step = (now) => { window.drawn.push(now); window.request = requestAnimationFrame(step); };
        window.request = requestAnimationFrame(step);
    }""")
    box = page.locator(".lanes .scroll").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 8)
    page.mouse.down()
    for _ in range(3):
        page.mouse.move(box["x"] + box["width"] - 10, box["y"] + 8, steps=100)
        page.mouse.move(box["x"] + 10, box["y"] + 8, steps=100)
    page.mouse.up()
    drawn = page.evaluate("() => { cancelAnimationFrame(window.request); return window.drawn; }")
    return 1000 * (len(drawn) - 1) / (drawn[-1] - drawn[0])


def packed_size() -> int:
    """Bytes that the room adds to the wheel."""
    room, file = Path(surglavi_hf.__file__).parent / "explorer", io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in room.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(room))
    return len(file.getvalue())


def measure(source: Path, note: Callable[[str, str, str], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="surglavi-explorer-") as name:
        folder = Path(name)
        (folder / "full").mkdir()
        database = folder / "full" / DATABASE_NAME
        shutil.copy(source / DATABASE_NAME, database)
        vectors = np.random.default_rng(0).standard_normal((VECTORS, DIMENSION), np.float32)
        vectors /= 1.05 * np.linalg.norm(vectors, axis=1, keepdims=True)
        index = folder / "embeddings.parquet"
        Embeddings(np.arange(1, VECTORS + 1), vectors.astype(np.float16), "random", "weights 0").write(index)
        del vectors
        data_dir = ("--data-dir", str(database.parent))
        with server(*data_dir) as (_, _, _, first):
            note("start, index of words made", f"{first:.1f} s", "")
        with server(*data_dir) as (process, host, cookie, start):
            note("start, index there", f"{start:.1f} s", "< 3 s")
            facets = [f"/api/overview?{one}&sort={turn}" for turn in range(10) for one in FACETS]
            note("facets", p95(ask(host, cookie, facets)), "50 ms")
            lists = [f"/api/captions?{one}&offset={1000 * turn}" for turn in range(10) for one in FACETS]
            note("lists, anywhere in them", p95(ask(host, cookie, lists)), "50 ms")
            words = [f"/api/search?q={quote(one)}&sort={turn}" for turn in range(4) for one in WORDS]
            times = ask(host, cookie, words[: len(WORDS)])
            note("words, stop words among them, each for the first time", p95(times), "100 ms")
            peer = [like(database, one) for one in WORDS]
            note("… the peer, LIKE", p95(peer), f"{np.median(peer) / np.median(times):.0f} times as long")
            videos = [f"/api/video/{number}" for number in range(1, 200)]
            note("values of a video's page", p95(ask(host, cookie, videos)), "300 ms")
            note("memory of the server", held(process), "< 400 MB")
        with server(*data_dir, "--index", str(index)) as (_, _, _, first):
            note(f"start, {VECTORS:,} embeddings taken up", f"{first:.1f} s", "")
        with server(*data_dir, "--index", str(index)) as (process, host, cookie, start):
            note("start, embeddings there", f"{start:.1f} s", "< 3 s")
            like_clip = [f"/api/search?like={number}" for number in range(1, 60)]
            note(f"meaning, over {VECTORS:,} × {DIMENSION}, of a clip", p95(ask(host, cookie, like_clip)), "250 ms")
            texts = [f"/api/search?q={quote(one)}" for one in WORDS[:7]] * 4
            note("meaning and words, of a text", p95(ask(host, cookie, texts)), "250 ms")
            note("memory of the server with them", held(process), "< 400 MB")
        note("the room in the wheel", f"{packed_size() / 1e3:.0f} kB", "< 300 kB")
        if CHROMIUM is None:
            note("in Chromium", "not on this machine", "")
            return
        (folder / "dense").mkdir()
        write_dense_corpus(folder / "dense")
        with server("--data-dir", str(folder / "dense")) as (_, host, cookie, _):
            note(
                f"values of a page with {INTERVALS} intervals", p95(ask(host, cookie, ["/api/video/1"] * 50)), "300 ms"
            )
            goals = {"page": "300 ms", "seek": "500 ms", "scrubbing": "≥ 50 frames/s"}
            for what, found in in_browser(host, cookie.partition("=")[2]).items():
                note(what, found, goals[what.split()[0]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    options = parser.parse_args()
    console, rows = Console(), []

    def note(what: str, found: str, goal: str) -> None:
        rows.append((what, found, goal))
        console.print(f"{what}: {found}", markup=False, style="dim")

    measure(options.data_dir, note)
    table = Table("what", "measured (p95 where there are several)", "goal")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
