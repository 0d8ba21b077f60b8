"""What the queue's commands print, and what is concluded from it."""

import pytest

from entropy_flows.launch.queue import queue_jobs


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Put a command on an otherwise empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name, *lines, code=0):
        script = tmp_path / name
        text = "".join(f"echo '{line}'\n" for line in lines)
        script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path / "arguments"}\n{text}exit {code}\n')
        script.chmod(0o755)

    return put


def test_no_queue(command):
    assert queue_jobs() is None


def test_slurm(command, tmp_path):
    command(
        "squeue",
        "11 PENDING",
        "12 RUNNING",
        "13 COMPLETING",
        "14 CANCELLED",
        "15 SUSPENDED",
        "16 TIMEOUT",
        "17 CONFIGURING",
        "18 REQUEUED",
    )
    assert queue_jobs() == {"11", "12", "15", "17", "18"}
    assert (tmp_path / "arguments").read_text().split() == ["--noheader", "--format=%i", "%T"]


def test_an_empty_queue_is_an_answer(command):
    command("squeue")
    assert queue_jobs() == frozenset()


def test_pbs(command):
    command(
        "qstat",
        "Job id            Name             User              Time Use S Queue",
        "----------------  ---------------- ----------------  -------- - -----",
        "101.head          ef gpu           someone           00:12:01 R gpu",
        "102.head.cluster* ef-cpu           someone                  0 Q cpu",
        "103.head          ef-cpu           someone           01:00:00 C cpu",
        "104.head          ef-cpu           someone           01:00:00 E cpu",
        "105.head          ef-cpu           someone                  0 H cpu",
    )
    assert queue_jobs() == {"101", "102", "105"}


@pytest.mark.parametrize("name", ["squeue", "qstat"])
def test_nothing_follows_from_a_command_that_fails(command, name):
    command(name, "11 RUNNING", code=1)
    assert queue_jobs() is None


def test_another_queue_is_not_asked_instead(command):
    """Its jobs would all seem to be gone."""
    command("squeue", code=1)
    command("qstat", "101.head  ef  someone  0 R gpu")
    assert queue_jobs() is None


def test_a_command_that_hangs(command, tmp_path, monkeypatch):
    monkeypatch.setattr("entropy_flows.launch.queue.ASK_SECONDS", 0.2)
    command("squeue")
    (tmp_path / "squeue").write_text("#!/bin/sh\nexec /bin/sleep 5\n")
    assert queue_jobs() is None
