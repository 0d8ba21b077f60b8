"""Programs in a fork of the test's process, which has imported what they need."""

import contextlib
import faulthandler
import itertools
import os
import runpy
import signal
import subprocess
import sys
import time

from entropy_flows.processes import dies_with_parent


class Fork:
    """A process with what `subprocess.Popen` has that those who run programs ask for."""

    def __init__(self, command, cwd, env, stdout):
        self.returncode = None
        end_with_parent = dies_with_parent()
        self.pid = os.fork()
        if self.pid == 0:
            if end_with_parent is not None:
                end_with_parent()
            self._become(command, cwd, env, stdout)

    def _become(self, command, cwd, env, stdout):
        """Be the program, and end with its exit code."""
        code = 1
        faulthandler.disable()  # pytest's writes to the test's own output
        try:
            for stream in (1, 2):
                os.dup2(stdout.fileno(), stream)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(env)
            program = list(itertools.dropwhile(_is_option, command[1:]))
            if program[0] == "-m":
                sys.argv = program[1:]
                runpy.run_module(program[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv = program
                runpy.run_path(program[0], run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("fork", timeout)
            time.sleep(0.02)
        return self.returncode

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


def _is_option(word):
    """Tell an option of Python's own from what it runs."""
    return word.startswith("-") and word != "-m"


@contextlib.contextmanager
def forked(command, *, env, stdout, cwd=".", **_):
    """Run a module as `processes.child` does, without another start of Python.

    The start of a training program is ten seconds of imports, that of a compiler five.
    """
    process = Fork(command, cwd, env, stdout)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
