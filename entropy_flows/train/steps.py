"""What every training does around its program: check, write the data, know its inputs, report, keep the result."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from entropy_flows.digest import digest, file_sha256
from entropy_flows.files import read_json, write_json
from entropy_flows.potentials import load_calculator
from entropy_flows.train.base import Progress, TrainResult
from entropy_flows.train.dataset import (
    count_reasons,
    energy_weights,
    has_stress,
    with_a_pair,
    within_edge_limit,
    write_extxyz,
)
from entropy_flows.train.folder import State
from entropy_flows.train.params import TrainParams
from entropy_flows.train.process import GpuMemoryError

LOCK_SECONDS = 120.0
"""How long to wait for another process to leave: a worker whose job was given away sees it
within a heartbeat.
"""


@dataclass(frozen=True)
class Data:
    """The data of a training, written to its folder."""

    frames: dict[str, list[Atoms]]
    """Cells by part: train, val and, if there is one, test."""
    files: dict[str, Path]
    """Their extxyz files, as seen from the folder."""
    stress: bool
    """Whether there are stresses to train on."""
    left_out: dict[str, list[tuple[int, str]]]
    """Cells that were left out, by part: position in the list given, and the reason."""


def write_data(
    parts: dict[str, Sequence[Atoms]],
    params: TrainParams,
    workdir: Path,
    pair_cutoff: float | None = None,
) -> Data:
    """Leave out what has too many edges, or none, and write the rest with its loss weights.

    Parameters
    ----------
    parts
        Cells of train, val and test; without val, those of train take their place.
    params
        Edge limit and weights.
    workdir
        The training's folder.
    pair_cutoff
        Cells of train and val without a neighbour pair within this distance (Å) are left out: for a
        program that cannot take them. None keeps them.

    Raises
    ------
    ValueError
        If no cell is left to train on.
    """
    (workdir / "data").mkdir(exist_ok=True)
    cells: dict[str, list[Atoms]] = {}
    left_out: dict[str, list[tuple[int, str]]] = {}
    for part, frames in parts.items():
        cutoff = None if part == "test" else pair_cutoff
        left_out[part] = sorted(_unfit(frames, params, cutoff))
        positions = {position for position, _ in left_out[part]}
        cells[part] = [atoms for position, atoms in enumerate(frames) if position not in positions]
    if not cells["train"]:
        reasons = ", ".join(
            f"{count} × {kind}" for kind, count in count_reasons(left_out["train"]).items()
        )
        raise ValueError(
            f"no cell to train on: {len(parts['train'])} given{', ' if reasons else ''}{reasons}"
        )
    cells["val"] = cells["val"] or cells["train"]
    cells = {part: frames for part, frames in cells.items() if frames}
    files = {part: Path("data") / f"{part}.extxyz" for part in cells}
    for part, frames in cells.items():
        write_extxyz(workdir / files[part], frames, energy_weights(frames, params.weight_bins))
    return Data(cells, files, any(has_stress(atoms) for atoms in cells["train"]), left_out)


def _unfit(
    frames: Sequence[Atoms], params: TrainParams, pair_cutoff: float | None
) -> list[tuple[int, str]]:
    """Position and reason of the cells that the program cannot take."""
    _, large = within_edge_limit(frames, params.max_edges, params.edge_cutoff)
    lonely = [] if pair_cutoff is None else with_a_pair(frames, pair_cutoff)[1]
    return [(item.position, item.reason) for item in [*large, *lonely]]


def check_cells(frames: Iterable[Atoms], known: Sequence[str] | None) -> None:
    """Refuse cells with an element the base model does not know; None knows all."""
    found = {symbol for atoms in frames for symbol in atoms.get_chemical_symbols()}
    if known is not None and not found <= set(known):
        raise ValueError(
            f"the base model knows {', '.join(known)}, the cells also hold {', '.join(sorted(found - set(known)))}"
        )


def inputs_sha256(
    base: Any, data: Data, params: TrainParams, workdir: Path, decisive: Sequence[str]
) -> str:
    """Checksum of all that decides the result; where the files are, and on which device it trains, does not.

    Parameters
    ----------
    base
        The base model's checksum, or a new model's description.
    data, params, workdir
        Data, recipe and folder.
    decisive
        Packages whose version counts: half a training with one and half with another is that of
        neither.
    """
    files = {part: file_sha256(workdir / path) for part, path in data.files.items()}
    versions = {name: version(name) for name in decisive}
    facts = {"base": base, "data": files, "params": params.identity(), "versions": versions}
    return digest(facts)


def finished(workdir: Path, inputs: str, name: str) -> TrainResult | None:
    """The result of an earlier call with the same inputs, if its file `name` is there and whole."""
    try:
        stored: dict[str, Any] = json.loads((workdir / "result.json").read_text())
        model = workdir / name
        if stored["inputs_sha256"] != inputs or stored["sha256"] != file_sha256(model):
            return None
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    left_out = {
        part: [(position, reason) for position, reason in cells]
        for part, cells in stored["left_out"].items()
    }
    return TrainResult(**{**stored, "model": model, "left_out": left_out, "reused": True})


def keep(result: TrainResult, workdir: Path) -> TrainResult:
    """Write the result down, last of all."""
    write_json(workdir / "result.json", {**asdict(result), "model": result.model.name})
    return result


def reporter(
    workdir: Path, params: TrainParams, on_progress: Callable[[Progress], None] | None
) -> Callable[[], None]:
    """What tells `on_progress` of the epochs that `history.json` has got since the last call."""
    file = workdir / "run" / "history.json"
    reported = len(read_json(file, []))

    def report_new_epochs() -> None:
        nonlocal reported
        history = read_json(file, [])
        for row in history[reported:]:
            reported += 1
            if on_progress is not None:
                losses = (row["train_loss"], row["val_loss"])
                on_progress(
                    Progress(int(row["epoch"]), params.max_epochs, *losses, row["learning_rate"])
                )

    return report_new_epochs


def mean_errors(frames: Sequence[Atoms], model: Path, device: str) -> dict[str, float]:
    """MAEs of a model on labelled cells, in the history's names and units; empty without cells."""
    if not frames:
        return {}
    calculator, off = load_calculator(model, device=device), defaultdict(list)
    for label in frames:
        atoms = Atoms(label.numbers, label.positions, cell=label.cell, pbc=label.pbc)
        atoms.calc = calculator
        off["energy_mae"].append(
            [(atoms.get_potential_energy() - label.get_potential_energy()) / len(label)]
        )
        off["forces_mae"].append(
            (atoms.get_forces() - label.get_forces(apply_constraint=False)).ravel()
        )
        if has_stress(label):
            off["stress_mae"].append(atoms.get_stress() - label.get_stress())
    return {name: float(np.abs(np.concatenate(values)).mean()) for name, values in off.items()}


def smaller_batches(state: State, err: GpuMemoryError) -> State:
    """What to try when the GPU's memory did not suffice.

    Raises
    ------
    GpuMemoryError
        If a batch is one structure already.
    """
    if (smaller := state.with_smaller_batches()) is None:
        raise GpuMemoryError(
            f"one structure a batch, of at most max_edges edges, is too much: {err}"
        ) from None
    return smaller
