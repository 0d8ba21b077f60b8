"""Run the benchmarks of the workflow layer on a server of their own and write the report."""

from __future__ import annotations

import argparse
import os
import time
from importlib import import_module
from pathlib import Path

from benchmarks import report
from benchmarks.scaling import plot
from benchmarks.timing import Options

HERE = Path(__file__).parent
BENCHMARKS = {
    "conditions": "overhead per trajectory, 16 to 1536 conditions, and the documents' sizes",
    "labels": "overhead per label, 100 to 10 000 labels, and the database's size",
    "fanout": "a thousand label jobs in one workflow, and in chunks",
    "workers": "jobs per second with 1 to 8 workers",
    "units": "what each step costs on its own",
    "commands": "whole commands at 10 000 labels; diversity of five elements",
    "page": "the live page of 10 000 cells and 100 campaigns, 20 viewers",
}
"""Each is a module of benchmarks.scaling with run(options, folder) -> Section; the report has
them in this order.
"""
PACKAGES = (
    "fireworks",
    "jobflow",
    "maggma",
    "pymongo",
    "secantusdb",
    "atomate2",
    "pymatgen",
    "ase",
    "torch",
    "nequip",
)
EPILOG = """\
examples:
  python -m benchmarks.scale                 everything: benchmarks/scaling.md, .json and .png
  python -m benchmarks.scale --only labels   one; the others stay in the report of the same machine
  python -m benchmarks.scale --quick         smaller sizes, to build/benchmarks

benchmarks:
"""


def arguments() -> argparse.Namespace:
    epilog = EPILOG + "\n".join(f"  {name:<12} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        epilog=epilog,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--only", choices=BENCHMARKS, action="append", help="this benchmark; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    for name in [name for name in os.environ if name.startswith("ENTROPY_FLOWS_")]:
        del os.environ[name]
    os.environ["ENTROPY_FLOWS_CONFIG_FILE"] = os.devnull
    from benchmarks.scaling.bench import server

    folder = HERE.parent / "build" / "benchmarks" if given.quick else HERE
    options = Options(given.quick, folder=folder, started=time.perf_counter())
    machine = report.machine("cpu", PACKAGES)
    for name in given.only or BENCHMARKS:
        begun = time.perf_counter()
        with server() as files:
            section = import_module(f"benchmarks.scaling.{name}").run(options, files)
        section.seconds = time.perf_counter() - begun
        text = report.write(
            folder,
            "scaling",
            machine,
            {name: section},
            list(BENCHMARKS),
            "Scaling",
            "make bench-scale",
        )
    print("\n" + text)
    plot.draw(folder / "scaling.json", folder / "scaling.png")
    options.say(f"written to {folder / 'scaling'}.md, .json and .png")


if __name__ == "__main__":
    main()
