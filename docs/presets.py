"""Write presets.md: the inputs of the VASP presets for four cells, as the code makes them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pymatgen.core import Lattice, Structure

from entropy_flows.label import LabelParams, make_static_maker, settings_hash, write_inputs

PAGE = Path(__file__).with_name("presets.md")
HEAD = """\
# The VASP presets' inputs

What `vasp-pbe` and `vasp-r2scan-rvv10` write for four conventional cells: paper A's settings, with VASP's defaults made
explicit where atomate2 has others. Made by `python docs/presets.py`; for your own cell:
`entropy-flows check campaign.yaml --inputs folder`. No MAGMOM, no DFT+U: those are your own generator's.
"""
CELLS = {
    "Silicon, PBE": ("vasp-pbe", "Fd-3m", Lattice.cubic(5.43), {"Si": [0, 0, 0]}),
    "NaCl, PBE": ("vasp-pbe", "Fm-3m", Lattice.cubic(5.64), {"Na": [0, 0, 0], "Cl": [0.5, 0.5, 0.5]}),
    "Diamond, r²SCAN + rVV10": ("vasp-r2scan-rvv10", "Fd-3m", Lattice.cubic(3.57), {"C": [0, 0, 0]}),
    "Graphite, r²SCAN + rVV10": (
        "vasp-r2scan-rvv10",
        "P6_3/mmc",
        Lattice.hexagonal(2.46, 6.70),
        {("C", 0): [0, 0, 0.25], ("C", 1): [1 / 3, 2 / 3, 0.25]},
    ),
}


def text() -> str:
    """The page."""
    parts = [HEAD]
    for title, (engine, spacegroup, lattice, sites) in CELLS.items():
        species = [site if isinstance(site, str) else site[0] for site in sites]
        cell = Structure.from_spacegroup(spacegroup, lattice, species, list(sites.values()))
        maker = make_static_maker(LabelParams(engine=engine))
        with tempfile.TemporaryDirectory() as folder:
            inputs = write_inputs(cell, maker, folder)
            incar = (Path(folder) / "INCAR").read_text().strip()
            kpoints = (Path(folder) / "KPOINTS").read_text().strip()
        lengths = ", ".join(f"{length:.2f}" for length in cell.lattice.abc)
        parts.append(
            f"## {title}\n\n"
            f"`{{engine: {engine}}}`; {len(cell)} atoms, {lengths} Å; POTCAR {', '.join(inputs['potcar'])} "
            f"({inputs['potcar_functional']}); settings' hash `{settings_hash(maker)[:12]}…`\n\n"
            f'```text title="INCAR"\n{incar}\n```\n\n```text title="KPOINTS"\n{kpoints}\n```\n'
        )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text())
    print(f"written: {PAGE}")
