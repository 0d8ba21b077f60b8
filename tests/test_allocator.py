"""Freed memory stays with the process, where the C library can be told so."""

import json
import os
import platform
import subprocess
import sys

import pytest

from entropy_flows import allocator
from entropy_flows.allocator import LIMITS, allocator_variables, keep_freed_memory
from entropy_flows.train.process import _environment

PROGRAM = """
import json, resource, sys
import numpy as np
from entropy_flows.allocator import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    arrays = [np.ones(131072) for _ in range(16)]  # 1 MiB each
    return sum(array[0] for array in arrays)

answer = keep_freed_memory() if "keep" in sys.argv else None
step(), step()
before = faults()
for _ in range(20):
    step()
print(json.dumps({"faults": (faults() - before) / 20, "answer": answer}))
"""


def measured(*arguments, **variables):
    plain = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=plain | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_step_finds_the_pages_of_the_one_before():
    left_alone = measured()
    asked = measured("keep")
    started = measured(**allocator_variables({}))
    assert left_alone["faults"] > 1000  # or there is nothing to save
    assert asked == {"faults": pytest.approx(0, abs=20), "answer": True}
    assert started["faults"] < 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_who_has_set_a_limit_keeps_it():
    assert measured("keep", MALLOC_MMAP_THRESHOLD_="65536")["answer"] is False
    assert allocator_variables({"MALLOC_TRIM_THRESHOLD_": "0"}) == {}
    assert allocator_variables({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1"}) == {}


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocator, "_c_library", object)  # as musl's: it has no `mallopt`
    keep_freed_memory.cache_clear()
    assert keep_freed_memory() is False
    keep_freed_memory.cache_clear()


def test_trainings_are_started_with_the_limits(monkeypatch):
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    assert {name: _environment()[name] for name in LIMITS} == allocator_variables({})
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1024")
    assert _environment()["MALLOC_TRIM_THRESHOLD_"] == "1024"
    assert "MALLOC_MMAP_THRESHOLD_" not in _environment()
