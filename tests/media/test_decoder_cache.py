# SPDX-License-Identifier: Apache-2.0
import gc
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from surglavi_hf.media import VideoDecodeError, decode, decode_frames
from surglavi_hf.media.decoder_cache import DecoderCache

from ..conftest import shown


class Door:
    """Counts how often it is opened and closed."""

    opened = closed = 0

    def __init__(self):
        type(self).opened += 1

    def close(self):
        type(self).closed += 1


@pytest.fixture
def door():
    return type("Door", (Door,), {})


def open_files(path):
    return sum(os.path.realpath(f"/proc/self/fd/{number}") == str(path) for number in os.listdir("/proc/self/fd"))


def test_keeps_those_used_last(door):
    cache = DecoderCache(size=2)
    for key in "abacac":
        with cache.lend(key, door):
            pass
    assert (len(cache), door.opened, door.closed) == (2, 3, 1)
    cache.clear()
    assert (len(cache), door.closed) == (0, 3)


def test_one_that_failed_is_closed(door):
    cache = DecoderCache(size=2)
    with pytest.raises(KeyError), cache.lend("a", door):
        raise KeyError
    assert (len(cache), door.opened, door.closed) == (0, 1, 1)


def test_one_thread_at_a_time(door):
    cache = DecoderCache(size=2)
    both = threading.Barrier(2, timeout=10)

    def use(_):
        with cache.lend("a", door) as decoder:
            both.wait()
            return decoder

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(use, range(2))
    assert first is not second
    assert (len(cache), door.opened, door.closed) == (1, 2, 1)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are only listed on Linux")
def test_files_stay_open_and_are_closed(tmp_path, write_video):
    videos = [write_video(tmp_path / f"{number}.mp4", [0.0, 0.1]) for number in range(decode._CACHE.size + 2)]
    for video in videos:
        for _ in range(3):
            assert shown(decode_frames(video, [0.1])) == [1]
            assert open_files(video) == 1
    gc.collect()
    assert [open_files(video) for video in videos] == [0, 0] + [1] * decode._CACHE.size


def test_a_video_that_changed_is_read_anew(tmp_path, write_video):
    video = write_video(tmp_path / "v.mp4", [0.0, 0.1, 0.2, 0.3])
    assert shown(decode_frames(video, [0.3])) == [3]
    write_video(tmp_path / "new.mp4", [0.0, 0.25]).replace(video)
    assert shown(decode_frames(video, [0.3])) == [1]


def read_in_child(path, queue):
    queue.put((len(decode._CACHE), [shown(decode_frames(path, [time]))[0] for time in (2.9, 0.0, 1.5)]))


@pytest.mark.parametrize("backend", ["pyav", "torchcodec", "decord"])
def test_a_forked_process_opens_its_own(tmp_path, write_video, backend):
    """And parent and child read on undisturbed."""
    if backend not in decode.installed_backends():
        pytest.skip(f"{backend} does not work here")
    video = write_video(tmp_path / "v.mp4", [index / 10 for index in range(30)])
    assert shown(decode_frames(video, [0.5], backend)) == [5]
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    children = [context.Process(target=read_in_child, args=(video, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert shown(decode_frames(video, [2.5, 0.1], backend)) == [25, 1]
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert [queue.get() for _ in children] == [(0, [29, 0, 15])] * 2


def test_a_failed_read_leaves_the_next_alone(tmp_path, write_video):
    video = write_video(tmp_path / "v.mp4", [0.0, 0.1])
    with pytest.raises(VideoDecodeError):
        decode_frames(video, [9.0])
    assert shown(decode_frames(video, [0.1])) == [1]
