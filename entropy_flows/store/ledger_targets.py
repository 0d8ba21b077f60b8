"""What the ledger leaves unknown of an iteration's target, as it is stored.

    variance_at(n, i) = fold of `add` over the fingerprints at positions 0 … n − 1 that are not
                        excluded, in the basis of iteration i's target, with T of that target

A basis is drawn from the cells of the first target with its settings, and is frozen from then on:
later targets with the same settings use it. An iteration without a target has that of the last one
before. `precisions` keep the fold at the ends of stages, as `covariances` do for log det Σ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entropy_flows.digest import bytes_sha256
from entropy_flows.entropy import CellBasis, VarianceStatistics
from entropy_flows.store.fence import Fence, merge
from entropy_flows.store.ledger_arrays import LedgerArrays
from entropy_flows.store.seals import insert_once, sealed
from entropy_flows.store.target import TargetCells

BASIS_KEY = ("campaign", "basis")
TARGET_KEY = ("campaign", "iteration")
PRECISION_KEY = ("campaign", "basis", "position")


class LedgerTargets(LedgerArrays):
    """The bases, targets and precisions of one campaign."""

    def target_row(self, iteration: int) -> dict[str, Any] | None:
        """Return the document of an iteration's target, or of the last one before; None without."""
        query = {"campaign": self.campaign, "iteration": {"$lte": iteration}}
        query["fingerprint_hash"] = self.fingerprint.fingerprint_hash
        return self.targets.find_one(query, sort=[("iteration", -1)])

    def target_cells(self, row: Mapping[str, Any]) -> TargetCells:
        """Read the cells that a document of `targets` keeps."""
        return TargetCells.from_bytes(self.arrays.get(dict(row)))

    def basis(self, name: str) -> CellBasis:
        """Read the basis of a hash.

        Raises
        ------
        ValueError
            If there is none, or it is not whole.
        """
        row = self.bases.find_one({"campaign": self.campaign, "basis": name})
        if row is None:
            raise ValueError(f"campaign {self.campaign!r} has no basis {name[:12]}")
        basis = CellBasis.from_bytes(self.arrays.get(row))
        if basis.hash != name:
            raise ValueError(f"basis {name[:12]} of campaign {self.campaign!r} is not whole")
        return basis

    def save_target(
        self, iteration: int, target: TargetCells, settings: Mapping[str, Any], **facts: Any
    ) -> None:
        """Store an iteration's target, once, with its basis if that is a new one.

        Parameters
        ----------
        iteration
            The iteration.
        target
            Cells of the target.
        settings
            Settings of the basis: `landmarks`, `length`, `by_size` and `noise`.
        facts
            Fields that say where the cells are from.
        """

        def write(held: Fence) -> None:
            self._write_target(iteration, target, dict(settings), facts, held)

        self._lease(f"target of iteration {iteration}", write)

    def variance_at(self, end: int, iteration: int, count: int = 0) -> VarianceStatistics | None:
        """Return what the entries before a position leave unknown of an iteration's target.

        Parameters
        ----------
        end
            The position.
        iteration
            Iteration of the target.
        count
            Number of rows of `exclusions` that count.

        Returns
        -------
        VarianceStatistics or None
            None if neither this iteration nor one before has a target.
        """
        row = self.target_row(iteration)
        if row is None:
            return None
        basis = self.basis(row["basis"])
        target = self.target_cells(row).moments(basis)
        excluded = self.excluded(count)
        key = {"campaign": self.campaign, "basis": row["basis"]}
        start, stored = self.last_stored(self.precisions, key, end, excluded)
        if stored is None:
            statistics = VarianceStatistics(basis, target, row["settings"]["noise"])
        else:
            data = self.arrays.get(stored)
            statistics = VarianceStatistics.from_bytes(data, basis).for_target(target)
        for position, q in enumerate(self.fingerprints_between(start, end), start):
            if position not in excluded:
                statistics.add(q)
        return statistics

    def _write_target(
        self,
        iteration: int,
        target: TargetCells,
        settings: dict[str, Any],
        facts: Mapping[str, Any],
        held: Fence,
    ) -> None:
        if self.targets.find_one({"campaign": self.campaign, "iteration": iteration}) is not None:
            return
        last = self.target_row(iteration)
        shared = {
            "campaign": self.campaign,
            "fingerprint_hash": self.fingerprint.fingerprint_hash,
            "settings": settings,
        }
        if last is not None and last["settings"] == settings:
            name = last["basis"]
        else:
            basis = CellBasis.drawn(
                target.means, settings["landmarks"], settings["length"], settings["by_size"]
            )
            name = basis.hash
            body = {**shared, "basis": name, "iteration": iteration, "dim": basis.dim}
            body |= self.arrays.put(basis.to_bytes())
            held.check(self.database)
            insert_once(self.bases, {key: body.pop(key) for key in BASIS_KEY}, body)
        data = target.to_bytes()
        body = {**shared, **facts, "basis": name, "n": len(target), "sha256": bytes_sha256(data)}
        body |= self.arrays.put(data)
        merge(
            self.targets,
            [sealed("targets", {**body, "iteration": iteration})],
            on=TARGET_KEY,
            lease=held,
        )

    def _store_variance(self, iteration: int, end: int, count: int, held: Fence) -> None:
        """Store what the entries before a position leave unknown, if there is a target."""
        row = self.target_row(iteration)
        if row is None:
            return
        key = {"campaign": self.campaign, "basis": row["basis"], "position": end}
        if self.precisions.find_one(key, {"_id": 1}) is not None:
            return
        statistics = self.variance_at(end, iteration, count)
        assert statistics is not None, "there is a target"
        body = {
            "target": row["iteration"],
            "n": statistics.n,
            "variance": statistics.value(),
            "checksum": statistics.checksum(),
            "ledger": self.digest_before(end),
            "exclusions": count,
        }
        document = {**key, **body, **self.arrays.put(statistics.to_bytes())}
        merge(self.precisions, [sealed("precisions", document)], on=PRECISION_KEY, lease=held)
