# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from surglavi_hf.media import FrameStoreOptions, VideoLibrary, build_frame_stores
from surglavi_hf.media.build_frames import _why_ended
from surglavi_hf.media.frame_store import FrameStore

from .test_frame_store import as_version_1

TIMES = [index / 10 for index in range(30)]


@pytest.fixture
def library(tmp_path, write_video):
    library = VideoLibrary(tmp_path)
    for name in ("a", "b", "-c"):
        write_video(library.video_path(name), TIMES)
    library.video_path("broken").parent.mkdir()
    library.video_path("broken").write_bytes(b"broken")
    return library


def test_all_videos_of_a_library(library, capsys):
    """What is up to date is skipped, what changed is made anew, a broken video is reported."""
    first = build_frame_stores(library, num_workers=2)
    assert first.written == {"a": 13, "b": 13, "-c": 13} and first.skipped == []
    assert list(first.failed) == ["broken"] and "broken.mp4 cannot be opened" in first.failed["broken"]
    assert "39.0/39.0 [" in capsys.readouterr().err.split("\r")[-1]
    with library.video_path("a").open("ab") as file:
        file.write(b"\0\0\0\x08free")  # a box of nothing
    again = build_frame_stores(library, num_workers=1)
    assert list(again.written) == ["a"] and again.skipped == ["-c", "b"]
    assert list(build_frame_stores(library, FrameStoreOptions(fps=1), 2).written.values()) == [4, 4, 4]
    assert sorted(os.listdir(library.root / "frames")) == ["-c.arrow", "a.arrow", "b.arrow"]


def test_old_and_renamed_stores_are_upgraded(library):
    build_frame_stores(library, num_workers=1, names=["a", "b"])
    as_version_1(library.frames_path("a"), library.video_path("a"))
    (library.root / "videos" / "b").rename(library.root / "videos" / "c")
    (library.root / "videos" / "c" / "b.mp4").rename(library.video_path("c"))
    library.frames_path("b").rename(library.frames_path("c"))
    again = build_frame_stores(library, num_workers=1, names=["a", "c"])
    assert (again.written, again.skipped, again.failed, again.upgraded) == ({}, [], {}, ["a", "c"])
    assert build_frame_stores(library, num_workers=1, names=["a", "c"]).skipped == ["a", "c"]


def test_arguments(library):
    with pytest.raises(ValueError, match="num_workers=0"):
        build_frame_stores(library, num_workers=0)
    with library.lock("frames"), pytest.raises(BlockingIOError, match="another"):
        build_frame_stores(library)


def start(library, body):
    """Starts a process that builds frame stores, with `body` run in each of its workers first."""
    script = library.root / "build.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, time
        from surglavi_hf.media import VideoLibrary, build_frame_stores
        from surglavi_hf.media import build_frames
        original = build_frames.write_frame_store
        def write(source, store, options, report):
            {body}
            return original(source, store, options, report)
        build_frames.write_frame_store = write
        if __name__ == "__main__":
            build = build_frame_stores(VideoLibrary({str(library.root)!r}), num_workers=2)
            print(sorted(build.written), build.failed)
        """)
    )
    return subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_what_ends_a_process_costs_one_video(library):
    """And is named. A video that was at work beside it is tried again."""
    ends = "{'b.arrow': os.abort, '-c.arrow': lambda: os.kill(os.getpid(), 9)}.get(store.name, bool)()"
    output, _ = start(library, ends).communicate(timeout=120)
    assert "\n['a'] {" in output
    assert "'b': 'its process was ended by SIGABRT, as a decoder crashed on it; move it away" in output
    assert "'-c': 'its process was ended by SIGKILL, most likely as the memory was used up; run" in output


def test_a_store_that_was_written_before_its_process_ended_counts(library):
    """Its process is ended between writing it and saying so."""
    ends = "(original(source, store, options, report), os.kill(os.getpid(), 9)) if store.name == 'a.arrow' else None"
    output, _ = start(library, ends).communicate(timeout=120)
    assert "\n['-c', 'a', 'b'] {'broken': " in output


@pytest.mark.parametrize(
    "status, said",
    [
        (-signal.SIGKILL, "SIGKILL, most likely as the memory was used up; run"),
        (-signal.SIGSEGV, "SIGSEGV, as a decoder crashed on it; move it away"),
        (-signal.SIGBUS, "SIGBUS, as a decoder crashed on it; move it away"),
        (-signal.SIGTERM, "SIGTERM, from outside; run"),
        (-200, "signal 200, from outside; run"),
        (0, "its process ended with status 0 and no word; run"),
        (3, "its process ended with status 3 and no word; run"),
    ],
)
def test_the_end_of_a_process_is_named(status, said):
    """And nobody is told to delete what may be the last copy."""
    assert said in _why_ended(status) and "delete" not in _why_ended(status)


def test_processes_that_cannot_start(library):
    """Are no fault of a video."""
    script = library.root / "build.py"
    script.write_text(
        "from surglavi_hf.media import VideoLibrary, build_frame_stores\n"
        f"build_frame_stores(VideoLibrary({str(library.root)!r}), num_workers=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(
        "RuntimeError: processes for frame stores end before they begin (status 1), which printed why; a script has "
        'to call this under `if __name__ == "__main__":`'
    )
    assert "decoder" not in done.stderr and not (library.root / "frames").exists()


def living(session):
    """Returns the processes of a session that are still at work."""
    found = []
    for number in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/stat") as file:  # noqa: PTH123
                state, _, _, owner = file.read().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(owner) == session and state != "Z":
            found.append(int(number))
    return found


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="processes are only listed on Linux")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed(library, how):
    """Neither half a file nor a process is left, and the next run goes on."""
    process = start(library, "time.sleep(0 if store.name == 'a.arrow' else 3)")
    deadline = time.monotonic() + 60
    while not (library.root / "frames" / "a.arrow").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, how)
    process.communicate(timeout=60)
    while living(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert living(process.pid) == []
    stores = {path.name for path in (library.root / "frames").glob("*.arrow")}
    assert "a.arrow" in stores
    for name in stores:
        assert len(FrameStore(library.root / "frames" / name).timestamps) == 13
    again = build_frame_stores(library, num_workers=1)
    assert {f"{name}.arrow" for name in again.written} | stores == {"a.arrow", "b.arrow", "-c.arrow"}
    assert not list((library.root / "frames").glob(".*"))
