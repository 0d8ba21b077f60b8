"""Train with NequIP and package the best model: `python -m … LOG LAST_LINE [ARGUMENTS]`.

`nequip-train` and `nequip-package` import the same packages, which takes longer than a small
training. Here they are imported once, and each program runs in a fork of this process. So it begins
as it would in a process of its own. ARGUMENTS are those of `nequip-train`. LOG is this program's
output, in which LAST_LINE means that the training has come to its end.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from entropy_flows.files import read_json
from entropy_flows.installed import installed_once
from entropy_flows.processes import dies_with_parent
from entropy_flows.train.folder import best_epoch, checkpoint_file

TRAIN = "nequip.scripts.train"
PACKAGE = "nequip.scripts.package"
RESULT = "model.nequip.zip"
PACKAGED = "Packaged model saved"
"""What `nequip-package` prints when all went well."""


def main(log: str, last_line: str, *arguments: str) -> None:
    """Train, and package if the training came to its end; exit as the one that failed."""
    with installed_once():
        for program in (TRAIN, PACKAGE):
            importlib.import_module(program)
        _run(TRAIN, arguments)
        if last_line not in Path(log).read_text(errors="replace"):
            sys.exit(1)  # terminated by a signal, it ends with 0 as well
        best = best_epoch(read_json(Path("run/history.json"), []))
        _run(PACKAGE, ("build", str(checkpoint_file(Path("run"), best)), RESULT))


def _run(program: str, arguments: Sequence[str]) -> None:
    """Run a program in a fork; where it fails, this process ends in the same way."""
    sys.stdout.flush()
    end_with_parent = dies_with_parent()
    child = os.fork()
    if child == 0:
        if end_with_parent is not None:
            end_with_parent()
        _become(program, arguments)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code:
        sys.exit(code)


def _become(program: str, arguments: Sequence[str]) -> None:
    """Be `python -m` of a module, and end with its exit code."""
    code = 1
    try:
        sys.argv = [program, *arguments]
        del sys.modules[program]  # it is run, and what it imports is there
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
