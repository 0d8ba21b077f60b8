"""Plug-ins by name: built in, as an entry point, by import path; each mistake in one line."""

from __future__ import annotations

import sys
from typing import Protocol

import pytest

from entropy_flows.params import Params
from entropy_flows.plugins import ExtensionPoint, is_import_path

GROUP = "entropy_flows.tests"


class Base(Params):
    """A family of settings."""

    kind: str = "first"


class First(Base):
    """The package's own."""

    width: int = 1


class Drawer(Protocol):
    """What a plug-in has to have."""

    colour: str

    def draw(self) -> str:
        """Draw."""

    def __call__(self) -> None:
        """Call."""


POINT = ExtensionPoint("kind", GROUP, Base, {"first": f"{__name__}:First"}, key="kind")
DRAWERS = ExtensionPoint("drawer", GROUP, Drawer, {"pen": f"{__name__}:First"})


def install(folder, package, **names):
    """Write the metadata and the module of an installed package."""
    info = folder / f"{package}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    lines = [f"{name} = {path}" for name, path in names.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")


@pytest.fixture
def packages(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_builtin_is_found_by_its_name_and_is_the_default():
    assert POINT.resolve("first") is First
    assert POINT.validate({}) == POINT.validate({"kind": "first", "width": 1}) == First()


def test_an_import_path_is_found():
    assert POINT.validate({"kind": f"{__name__}:First", "width": 2}).width == 2


def test_an_entry_point_is_found_and_imported_only_when_asked_for(packages):
    (packages / "their_kinds.py").write_text(
        f"from {__name__} import First\nclass Second(First):\n    pass\n"
    )
    install(packages, "theirs", second="their_kinds:Second", broken="nowhere_at_all:Third")
    assert POINT.names() == ["first", "broken", "second"]
    assert "their_kinds" not in sys.modules
    assert POINT.resolve("second").__name__ == "Second"


def test_parameters_are_returned_as_they_are():
    settings = First(width=3)
    assert POINT.validate(settings) is settings
    assert POINT.name_of(settings) == "first"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("frist", "unknown kind 'frist'; did you mean 'first'?; expected one of: first"),
        ("nowhere_at_all:Mine", "kind 'nowhere_at_all:Mine' cannot be imported: ModuleNotFound"),
        (f"{__name__}:Frist", "has no 'Frist'; did you mean 'First'?"),
        (f"{__name__}:Drawer", f"is no kind: it does not inherit from {__name__}.Base"),
    ],
)
def test_a_mistake_is_one_line(name, message):
    with pytest.raises(ValueError, match="kind") as caught:
        POINT.resolve(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_method_is_named():
    with pytest.raises(ValueError, match="no drawer: it has no `draw`, `__call__`, `colour`"):
        DRAWERS.resolve("pen")


def test_two_packages_with_one_name_are_refused(packages):
    install(packages, "theirs", second="their_kinds:Second")
    install(packages, "others", second="other_kinds:Second")
    with pytest.raises(ValueError, match="declared by 2 packages: others, theirs"):
        POINT.resolve("second")


def test_a_name_of_the_package_itself_cannot_be_taken(packages):
    install(packages, "theirs", first="their_kinds:Second")
    with pytest.raises(ValueError, match="declared by 2 packages: entropy_flows, theirs"):
        POINT.resolve("first")


def test_a_module_that_fails_is_told_in_one_line(packages):
    (packages / "failing_kinds.py").write_text("raise RuntimeError('no\\nlibrary')\n")
    with pytest.raises(ValueError, match=r"cannot be imported: RuntimeError: no$"):
        POINT.resolve("failing_kinds:Mine")


@pytest.mark.parametrize("name", ["a:B", "a.b:C.d", "_a:b"])
def test_import_paths(name):
    assert is_import_path(name)


@pytest.mark.parametrize("name", ["a", "a.b", "a:", ":b", "a b:c", "/x:y", "a:b:c"])
def test_what_is_no_import_path(name):
    assert not is_import_path(name)
