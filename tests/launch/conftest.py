"""A launchpad for tests of what happens to jobs."""

import pytest

from entropy_flows.launch.launchpad import launchpad


@pytest.fixture
def pad(database, tmp_path, monkeypatch):
    """An empty launchpad, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    pad = launchpad()
    pad.reset("", require_password=False, max_reset_wo_password=0)
    return pad
