"""A launchpad for tests of what happens to jobs."""

import pytest
from launchpads import new_launchpad


@pytest.fixture
def pad(database, tmp_path, monkeypatch):
    """An empty launchpad, and an empty working directory."""
    monkeypatch.chdir(tmp_path)
    pad = new_launchpad()
    return pad
