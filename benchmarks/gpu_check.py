"""Check on a GPU, in five minutes, what the tests check without one; write a page of it.

python -m benchmarks.gpu_check                    docs/gpu-check.md
python -m benchmarks.gpu_check --device cpu       the same checks on the CPU, to build/gpu-check.md
python -m benchmarks.gpu_check --only dynamics    one of them; may be repeated
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

from benchmarks.report import digits, machine
from benchmarks.timing import Options

ROOT = Path(__file__).parent.parent
BENCHMARK_SECONDS = 120
"""Time that is left for the benchmarks at the end of all."""
RULE = "| check | found | may be | |\n| --- | ---: | ---: | --- |"


@dataclass
class Outcome:
    """One row of the page."""

    name: str
    found: float | None
    limit: float | None
    remark: str = ""

    @property
    def is_good(self) -> bool:
        """Return whether the check was run, and found no more than there may be."""
        return self.found is not None and self.limit is not None and self.found <= self.limit

    def row(self) -> str:
        """Return it as a row of a table."""
        verdict = "ok" if self.is_good else f"**not ok** {self.remark}".strip()
        return f"| {self.name} | {digits(self.found)} | {digits(self.limit)} | {verdict} |"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    from benchmarks.gpu_cases import CASES

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_check",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu")
    parser.add_argument("--only", choices=[*CASES, "benchmarks"], action="append")
    parser.add_argument("--seconds", type=float, default=300.0, help="time for all of it")
    parser.add_argument("--output", type=Path, help="the page")
    return parser.parse_args()


def missing(device: str) -> str | None:
    """Return why a device cannot be checked, in one line; None if it can."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return None
    if kind != "cuda":
        return f"--device {device}: expected cuda, cuda:NUMBER or cpu"
    if not torch.cuda.is_available():
        build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
        return (
            f"no GPU here: torch {torch.__version__} is {build} and sees no CUDA device; "
            "--device cpu runs the same checks on the CPU"
        )
    if number and int(number) >= torch.cuda.device_count():
        return f"--device {device}: this machine has {torch.cuda.device_count()} GPUs"
    return None


def check(name: str, device: str) -> list[Outcome]:
    """Run the checks of one kind; an error is an outcome, too."""
    from benchmarks.gpu_cases import CASES

    outcomes: list[Outcome] = []
    try:
        for what, found, limit in CASES[name](device):
            outcomes.append(Outcome(what, found, limit))
            print(f"  {what}: {digits(found)}, may be {digits(limit)}", flush=True)
    except Exception as err:  # the others are to be run, too
        traceback.print_exc()
        text = " ".join(str(err).split())[:120].replace("|", "/")
        outcomes.append(Outcome(f"{name}: failed", None, None, f"{type(err).__name__}: {text}"))
    return outcomes


def benchmarks(device: str, seconds: float) -> Outcome:
    """Run the quick benchmarks in what is left of the time."""
    only = ["--only", "batches", "--only", "fingerprint"]
    command = [sys.executable, "-m", "benchmarks", "--quick", "--device", device, *only]
    started = time.perf_counter()
    try:
        code = subprocess.run(command, cwd=ROOT, timeout=max(1.0, seconds)).returncode
    except subprocess.TimeoutExpired:
        return Outcome("benchmarks --quick", None, None, f"not ended after {seconds:.0f} s")
    print(f"  benchmarks: {time.perf_counter() - started:.0f} s", flush=True)
    return Outcome("benchmarks --quick: exit code", float(code), 0.0)


def page(device: str, sections: dict[str, tuple[list[Outcome], float]], seconds: float) -> str:
    """Write the page."""
    facts = machine(device)
    if torch.device(device).type == "cuda":
        facts["GPU"] = torch.cuda.get_device_name(device)
        facts["CUDA"] = torch.version.cuda
    rows = [outcome for outcomes, _ in sections.values() for outcome in outcomes]
    good = sum(outcome.is_good for outcome in rows)
    lines = [
        "# On a GPU" if torch.device(device).type == "cuda" else "# On a CPU, as on a GPU",
        "",
        f"Written by `make gpu-check` on {date.today().isoformat()}, in {seconds:.0f} s: "
        f"{good} of {len(rows)} checks are good.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
    ]
    for name, (outcomes, spent) in sections.items():
        lines += ["", f"## {name.capitalize()}, {spent:.0f} s", "", RULE]
        lines += [outcome.row() for outcome in outcomes]
    options = Options(quick=True, device=torch.device(device).type)
    tables = ROOT / "build" / "benchmarks" / f"results{options.suffix}.md"
    if "benchmarks" in sections and tables.exists():
        lines += ["", "## Speed", "", tables.read_text()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the checks and write the page; the exit code is 1 if one is not good."""
    given = arguments()
    reason = missing(given.device)
    if reason:
        sys.exit(f"gpu-check: {reason}")
    from benchmarks.gpu_cases import CASES

    torch.set_num_threads(1)
    on_gpu = torch.device(given.device).type == "cuda"
    output = given.output or ROOT / ("docs" if on_gpu else "build") / "gpu-check.md"
    started = time.perf_counter()
    sections: dict[str, tuple[list[Outcome], float]] = {}
    for name in given.only or [*CASES, "benchmarks"]:
        begun = time.perf_counter()
        left = given.seconds - (begun - started)
        print(f"{name}:", flush=True)
        if name == "benchmarks":
            outcomes = [benchmarks(torch.device(given.device).type, left)]
        elif left < BENCHMARK_SECONDS / 2:
            outcomes = [Outcome(f"{name}: not run", None, None, "the time was up")]
        else:
            outcomes = check(name, given.device)
        sections[name] = (outcomes, time.perf_counter() - begun)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page(given.device, sections, time.perf_counter() - started))
    print(f"written: {output}")
    sys.exit(not all(outcome.is_good for outcomes, _ in sections.values() for outcome in outcomes))


if __name__ == "__main__":
    main()
