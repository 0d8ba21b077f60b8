"""Models of torch-sim by atomate2's Maker: one call labels all cells of a job together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from entropy_flows.conventions import KBAR
from entropy_flows.label.document import text_of, value_at
from entropy_flows.label.engines.contents import package_version, paths_replaced
from entropy_flows.label.engines.maker import MakerEngine
from entropy_flows.label.reasons import InconsistentOutputError

PACKAGE = "torch-sim-atomistic"
LABELS_PER_JOB = 64
"""Cells of a job where nobody has said how many: the Maker loads its model for each call."""


class TorchSimEngine(MakerEngine):
    """atomate2's `TorchSimStaticMaker`."""

    in_memory = True
    takes_many = True

    def __init__(self, maker: Any):
        super().__init__(maker)
        self.model_type = text_of(maker.model_type)
        self.model_path = str(maker.model_path)
        self.model_kwargs: dict[str, Any] = maker.model_kwargs

    @staticmethod
    def runs(maker: Any) -> bool:
        """Return whether a Maker has a model of torch-sim, and packs cells into batches."""
        return hasattr(maker, "model_type") and hasattr(maker, "autobatcher_dict")

    @property
    def labels_per_job(self) -> int:
        """Many: what they cost is the loading of the model."""
        return LABELS_PER_JOB

    @property
    def has_spin(self) -> bool | None:
        """False: these models take no moments."""
        return False

    @property
    def name(self) -> str:
        """Name of the model, such as "SevenNetModel 7net-0 (teacher, not DFT)"."""
        words = (self.model_type, Path(self.model_path).name, "(teacher, not DFT)")
        return " ".join(word for word in words if word)

    def hash_input(self) -> dict[str, Any]:
        """Return model, arguments but for the device, and the version of torch-sim."""
        arguments = {k: v for k, v in self.model_kwargs.items() if k != "device"}
        return {
            "code": self.model_type,
            "version": package_version(PACKAGE),
            "model": paths_replaced(self.model_path),
            "kwargs": paths_replaced(arguments),
        }

    def documents(self, document: Any, number: int) -> Sequence[Any]:
        """Return a document for each cell of a call, with the stress in kBar and VASP's sign.

        torch-sim has eV/Å³, and ASE's sign.

        Raises
        ------
        InconsistentOutputError
            If it has other cells, or a list that is not as long as that of the cells.
        """
        calculation = value_at(document, "calcs_reversed", 0)
        lists = {
            "structure": value_at(document, "structures"),
            "energy": value_at(calculation, "output", "energies"),
            "forces": value_at(calculation, "output", "all_forces"),
            "stress": value_at(calculation, "output", "stress") or [None] * number,
        }
        for name, values in lists.items():
            if values is None or len(values) != number:
                length = "no list" if values is None else f"{len(values)}"
                raise InconsistentOutputError(
                    f"the task document has {length} of {name}, expected that of {number} cells"
                )
        elapsed = value_at(document, "time_elapsed")
        rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
        return [self._document(row, elapsed / number if elapsed else None) for row in rows]

    def _document(self, row: dict[str, Any], seconds: float | None) -> dict[str, Any]:
        """Return the document of a cell, as atomate2's force fields have it."""
        stress = row["stress"]
        return {
            "structure": row["structure"],
            "ase_calculator_name": self.model_type,
            "output": {
                "energy": row["energy"],
                "forces": row["forces"],
                "stress": None if stress is None else (-KBAR * np.array(stress)).tolist(),
                "elapsed_time": seconds,
            },
        }
