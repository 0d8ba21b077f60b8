"""Trainings of tests that ask what comes out of them, and not how the programs are run."""

from importlib.util import find_spec

import pytest
from forks import forked

from entropy_flows.train import process


@pytest.fixture(scope="session")
def imported_programs():
    """Import what training programs need: each of their starts would be imports alone."""
    import nequip.scripts.package
    import nequip.scripts.train  # noqa: F401

    if find_spec("sevenn") is not None:
        import sevenn.main.sevenn  # noqa: F401


@pytest.fixture(scope="module")
def forked_programs(imported_programs):
    """Have training programs run in forks of this process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "child", forked)
        yield
