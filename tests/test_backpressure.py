"""Inputs that are slow to come: what was read runs meanwhile, and results do not wait for inputs."""

from __future__ import annotations

import itertools
import os
import time

import pytest
import tasks
import waiting

import manyhands

backends = pytest.mark.parametrize("backend", ["processes", "threads"])


@backends
def test_the_first_input_runs_while_the_second_is_waited_for(tmp_path, backend):
    def inputs():
        yield str(tmp_path)
        yield waiting.noted(tmp_path, "ran")[0]

    assert len(manyhands.map(note, inputs(), workers=2, backend=backend)) == 2


def note(folder):
    if os.path.isdir(folder):
        tasks.note(folder, "ran")
    return folder


def slow(seconds):
    for number in itertools.count():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            os.sched_yield()
        yield number


@backends
def test_results_come_while_inputs_are_read(backend):
    manyhands.map(tasks.square, range(10_000), workers=2)  # it is known to be quick: messages of thousands would be right
    for options in ({}, {"ordered": False}, {"buffer": 1000}, {"chunk": 1}):
        read = 0

        def counted():
            nonlocal read
            for value in slow(0.005):
                read += 1
                yield value

        with manyhands.imap(tasks.square, counted(), workers=2, backend=backend, **options) as results:
            for taken in range(1, 20):
                next(results)
                assert read - taken < 30, options
