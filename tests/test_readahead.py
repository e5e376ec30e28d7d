"""Reading ahead in a thread: order, bounds, errors, early ends and forks."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from gaussmix.io.readahead import MOST_AHEAD, read_ahead


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gaussmix-reader"]


@pytest.fixture(autouse=True)
def no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("gaussmix.io.readahead.PATIENCE", 60.0)  # for a machine with other work
    yield
    assert readers() == []


def assert_made(made: list[int], count: int) -> None:
    """Wait until the thread has made so many, and a while for it to make no more."""
    end = time.monotonic() + 60
    while len(made) < count and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(made) == count


def test_all_items_in_order() -> None:
    with read_ahead(iter(range(1000))) as items:
        assert list(items) == list(range(1000))


def test_no_items() -> None:
    with read_ahead(iter(())) as items:
        assert list(items) == []


def test_so_many_are_read_ahead_and_no_more() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with read_ahead(numbers()) as items:
        assert_made(made, MOST_AHEAD)
        next(items)
        next(items)
        assert_made(made, 2 + MOST_AHEAD)


def test_an_error_comes_in_its_place_with_its_traceback() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    seen = []
    with read_ahead(broken()) as items:
        seen += [next(items), next(items)]
        with pytest.raises(OSError, match="the disk is gone") as caught:
            next(items)
    assert seen == [1, 2]
    assert "broken" in [frame.name for frame in traceback.extract_tb(caught.tb)]


@pytest.mark.parametrize("n_taken", [1, 2, 5])
def test_an_early_end_closes_the_iterator_in_its_thread(n_taken: int) -> None:
    closed_in: list[str] = []

    def endless() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed_in.append(threading.current_thread().name)

    def interrupted() -> None:
        with read_ahead(endless()) as items:
            for _ in range(n_taken):
                next(items)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert closed_in == ["gaussmix-reader"]


def test_an_end_does_not_wait_for_a_reader_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaussmix.io.readahead.PATIENCE", 0.05)
    release = threading.Event()

    def hanging() -> Iterator[int]:
        yield 1
        release.wait(60)

    start = time.monotonic()
    with read_ahead(hanging()) as items:
        assert next(items) == 1
    assert time.monotonic() - start < 30
    release.set()
    for thread in readers():
        thread.join(60)


@pytest.mark.parametrize("step", ["before", "after"])
def test_an_interrupt_while_it_starts_ends_the_thread(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if step == "after":
            start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_ahead(itertools.count()).__enter__()
    for thread in readers():
        thread.join(60)


INTERRUPTED = """
import itertools, signal, time
from gaussmix.io.readahead import read_ahead
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells' background jobs ignore it
def slow():
    for number in itertools.count():
        time.sleep(0.01)
        yield number
with read_ahead(slow()) as items:
    for number in items:
        if number == 3:
            print("reading", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")


FORKED = """
import itertools, os, sys
from gaussmix.io.readahead import read_ahead
with read_ahead(itertools.count()) as items:
    next(items)
    child = os.fork()
    if child == 0:
        sys.exit(7)  # leaves the block in a process that has no such thread
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), next(items))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("7 1\n", "")
