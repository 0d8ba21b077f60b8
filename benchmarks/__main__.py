"""Run the benchmarks and write what they measured beside this file."""

from __future__ import annotations

import argparse
import time
from importlib import import_module
from pathlib import Path

import torch

from benchmarks import report
from benchmarks.peers import libfp_client
from benchmarks.timing import Options

HERE = Path(__file__).parent
BENCHMARKS = {
    "fingerprint": "S_local with forces and virial, against eigh, libfp and autograd",
    "gains": "information gains, against a determinant per candidate",
    "screen": "a million candidates through the filter",
    "dynamics": "the bias's share of an MD step, trajectories together, conservation",
    "batches": "trajectories together in batches of 1 to 1024, and where they saturate",
    "soft": "the soft local entropy against the paper's: drift, temperature, S_local, information",
    "base_models": "a step of each base model that needs no network, alone and in a batch of 32",
    "novelty": "a run that melts, watched by the observer, and what that costs",
    "environments": "a model in a process of another environment, against the same one here",
    "memory": "peak memory of both",
    "allocation": "page faults, time and memory with freed memory kept",
    "start": "what a job costs before it works, in the first job of a worker and in the next",
    "selection_cost": "1,000 of 100,000 candidates by each selector: seconds and peak memory",
    "elements": "the global entropy with 1 to 6 elements: d, time, memory, stored bytes",
    "large": "a step's neighbours, fingerprints and bias from 64 to 4096 atoms",
    "growth": "how both grow with atoms, neighbours, batch and length of the vector",
}
"""Each is a module beside this one with run(options) -> Section; the report has them in this
order.
"""

EPILOG = """\
examples:
  python -m benchmarks                      everything: benchmarks/results.md and .json, plots
  python -m benchmarks --only fingerprint   one of them; the others stay in the report as they are
  python -m benchmarks --quick              shorter and rougher, to build/benchmarks
  python -m benchmarks --device cuda        on a GPU, to benchmarks/results-cuda.md

benchmarks:
"""


def arguments() -> argparse.Namespace:
    epilog = EPILOG + "\n".join(f"  {name:<14} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=epilog,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--only", choices=BENCHMARKS, action="append", help="this benchmark; may be repeated"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where fingerprints are computed"
    )
    parser.add_argument("--quick", action="store_true", help="fewer cases, an eighth of the time")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    folder = HERE.parent / "build" / "benchmarks" if given.quick else HERE
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(given.quick, given.device, folder, time.perf_counter())
    stem, machine = (
        f"results{options.suffix}",
        report.machine(given.device, libfp=libfp_client.version()),
    )
    sections, text = {}, ""
    for name in given.only or BENCHMARKS:
        begun = time.perf_counter()
        section = import_module(f"benchmarks.{name}").run(options)
        section.seconds = time.perf_counter() - begun
        sections[name] = section
        text = report.write(folder, stem, machine, sections, list(BENCHMARKS))
    print("\n" + text)
    options.say(f"written to {folder / stem}.md and .json")


if __name__ == "__main__":
    main()
