# SPDX-License-Identifier: Apache-2.0
"""
How long a library of 5,000 videos takes to be adopted, indexed and looked through for missing files. The videos are
tiny: adopting reads each to its end, so that real ones take as long as their disk.

    python benchmarks/library.py [surglavi_beta_videos.parquet]

With the parquet file of the published export the names are its real ids, as far as they go, otherwise random ones. The
peer is what scripts do: `Path.rglob` for the index and `Path.exists` for each name, in the same run.
"""

import argparse
import random
import shutil
import string
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from surglavi_hf.media import VideoLibrary, VideoSource, adopt_videos

NUM_VIDEOS = 5000
ID_LENGTH = 11


def video_ids(path: Path | None) -> list[str]:
    """Returns 5,000 different ids, those of the file first."""
    ids = pq.read_table(path)["youtube_id"].to_pylist()[:NUM_VIDEOS] if path else []
    print(f"{len(ids)} real ids, {NUM_VIDEOS - len(ids)} random ones")
    rng = random.Random(0)
    letters = string.ascii_letters + string.digits + "-_"
    while len(ids) < NUM_VIDEOS:
        ids.append("".join(rng.choices(letters, k=ID_LENGTH)))
    return ids


def tiny_video(path: Path) -> None:
    """Writes a video of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5, width=64, height=64, pix_fmt="yuv420p")
        for level in range(0, 250, 50):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def timed(function: Callable[[], object]) -> tuple[float, object]:
    """Returns seconds and result."""
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="?", type=Path, metavar="FILE")
    ids = video_ids(parser.parse_args().ids)
    sources = [VideoSource(id_, id_, None, 1.0) for id_ in ids]
    with tempfile.TemporaryDirectory() as folder:
        old, library = Path(folder, "old"), VideoLibrary(Path(folder, "library"))
        old.mkdir()
        there = ids[: NUM_VIDEOS * 9 // 10]  # a tenth is missing
        tiny_video(Path(folder, "video.mp4"))
        for id_ in there:
            shutil.copy(Path(folder, "video.mp4"), old / f"A title, part 2-{id_}.mp4")
        adopt_s, adoption = timed(lambda: adopt_videos(library, sources, old))
        index_s, names = timed(library.video_names)
        missing_s, missing = timed(lambda: [id_ for id_ in ids if not library.has(id_)])
        videos = library.root / "videos"
        rglob_s, found = timed(lambda: sorted(path.stem for path in videos.rglob("*.mp4")))
        exists_s, gone = timed(lambda: [id_ for id_ in ids if not (videos / id_ / f"{id_}.mp4").exists()])
    assert names == found == sorted(there) and missing == gone == adoption.missing
    table = Table("what", "seconds", "peer, seconds", title=f"{NUM_VIDEOS:,} names, {len(there):,} videos")
    table.add_row("adopt: find, read and link", f"{adopt_s:.2f}", "–")
    table.add_row("index", f"{index_s:.3f}", f"{rglob_s:.3f} (Path.rglob)")
    table.add_row("look for missing files", f"{missing_s:.3f}", f"{exists_s:.3f} (Path.exists)")
    Console().print(table)


if __name__ == "__main__":
    main()
