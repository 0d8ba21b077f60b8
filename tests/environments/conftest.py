import pytest
from other_python import make_environment


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """A Python of its own with this one's packages, but not this package."""
    return make_environment(tmp_path_factory.mktemp("environments") / "other")
