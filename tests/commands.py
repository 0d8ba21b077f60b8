"""Commands run in the test's own process."""

import sys

from entropy_flows.cli import main


def run(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, output and error of a command."""
    monkeypatch.setattr(sys, "argv", ["entropy-flows", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as done:
        code = int(done.code or 0)
    out, err = capsys.readouterr()
    return code, out, err
