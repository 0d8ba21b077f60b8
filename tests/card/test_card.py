"""Everything that a job does with tensors, on the pretend card (`pretend_card`).

The files `*_on_card.py` have a process of their own: once torch knows the card, the process is
believed to have an accelerator.
"""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(1500)  # on a busy machine
def test_what_runs_in_a_job():
    tests = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider"]
    files = ["-o", "python_files=*_on_card.py", str(Path(__file__).parent)]
    run = subprocess.run([*tests, *files], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    for part in ("pretence", "biases", "dynamics", "models"):
        assert f"{part}_on_card.py" in run.stdout
