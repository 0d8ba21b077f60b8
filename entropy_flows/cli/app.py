"""The commands, and how an error reaches the user: in one line, with exit code 1."""

from __future__ import annotations

import os
import sys
import traceback
import warnings

import typer
from pymongo.errors import ConnectionFailure

from entropy_flows.cli import (
    agnostic,
    bench_selectors,
    check,
    compile,
    curve,
    database,
    diversity,
    export,
    importing,
    init,
    launchers,
    physics,
    repair,
    report,
    run,
    status,
    submit,
    verify,
)
from entropy_flows.params import one_line, screenful
from entropy_flows.store.uri import masked

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Entropy-driven active learning of interatomic potentials. Start with: entropy-flows init silicon",
)
CAMPAIGN = (init, check, launchers, submit, run, status, repair, verify)
RESULTS = (export, report, curve, agnostic, bench_selectors, diversity, physics, database, compile)
for module in (*CAMPAIGN, *RESULTS):
    app.command(name=module.__name__.rsplit(".", 1)[1].replace("_", "-"))(module.command)
app.command(name="import")(importing.command)


def main() -> None:
    """Run a command; ENTROPY_FLOWS_DEBUG=1 shows the traceback of an error."""
    warnings.filterwarnings("ignore")
    try:
        app()
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except ConnectionFailure as err:
        print(
            f"error: the database stopped answering ({type(err).__name__}); run again to continue",
            file=sys.stderr,
        )
        sys.exit(1)
    except Exception as err:
        if os.environ.get("ENTROPY_FLOWS_DEBUG"):
            traceback.print_exc()
        message = one_line(err) if isinstance(err, ValueError) else screenful(str(err))
        print(f"error: {masked(message) or type(err).__name__}", file=sys.stderr)
        sys.exit(1)
