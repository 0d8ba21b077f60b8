"""What a command says to type next can be pasted into a shell."""

import shlex
from pathlib import Path

import pytest
from commands import run

from entropy_flows.cli.options import as_typed


@pytest.mark.parametrize(
    "name", ["plain", "with blanks", "it's", "a;b&c", "$HOME", "[red]x", "ü ü"]
)
@pytest.mark.parametrize("folder", [None, "runs", "my runs"])
def test_arguments_are_quoted(name, folder):
    file = Path(name) / "campaign.yaml"
    given = None if folder is None else Path(folder)
    expected = [str(file)] if folder is None else [str(file), "-C", folder]
    assert shlex.split(as_typed(file, given)) == expected


def test_the_command_after_init_and_submit(tmp_path, database, monkeypatch, capsys):
    folder = tmp_path / "my $silicon [x]"
    _, out, _ = run(monkeypatch, capsys, "init", folder, "--template", "silicon")
    assert shlex.split(out.split("next:")[1]) == [
        "entropy-flows",
        "check",
        str(folder / "campaign.yaml"),
    ]
    code, out, err = run(
        monkeypatch, capsys, "submit", folder / "campaign.yaml", "-C", tmp_path / "a b"
    )
    assert code == 0, err
    expected = [
        "entropy-flows",
        "status",
        str(folder / "campaign.yaml"),
        "-C",
        str(tmp_path / "a b"),
    ]
    assert shlex.split(out.split("its state:")[1].splitlines()[0]) == expected
