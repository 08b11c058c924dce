# SPDX-License-Identifier: Apache-2.0
import threading
import time

import pytest

from surglavi_hf.explorer.jobs import Jobs


@pytest.fixture
def jobs():
    found = Jobs()
    yield found
    found.close()


def wait(job):
    while job.state in ("waiting", "running"):
        time.sleep(0.005)
    return job.state


def test_one_after_another_and_each_once(jobs):
    order, go = [], threading.Event()

    def first(job):
        go.wait(10)
        order.append("first")

    one = jobs.start("a", first)
    assert jobs.start("a", first) is one
    two = jobs.start("b", lambda job: order.append("second"))
    assert two.state == "waiting"
    go.set()
    assert wait(two) == "done"
    assert order == ["first", "second"]
    assert jobs.start("a", lambda job: None) is not one


def test_what_fails_says_why_and_the_next_is_done(jobs, caplog):
    def fails(job):
        raise RuntimeError("it broke\nand more")

    one = jobs.start("a", fails)
    assert wait(one) == "failed"
    assert one.message == "it broke"
    assert wait(jobs.start("b", lambda job: None)) == "done"


def test_what_is_stopped(jobs):
    begun = threading.Event()

    def long(job):
        begun.set()
        while not job.stopped():
            time.sleep(0.005)
        raise InterruptedError

    one, two = jobs.start("a", long), jobs.start("b", long)
    begun.wait(10)
    two.stop()
    one.stop()
    assert wait(one) == wait(two) == "stopped"
