"""Write presets.md: the inputs of the VASP presets for some cells, as the code makes them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pymatgen.core import Lattice, Structure

from entropy_flows.explore import build_seed
from entropy_flows.label import LabelParams, engine_of, make_static_maker, write_inputs
from entropy_flows.moments import summary
from entropy_flows.schemas import load_campaign

PAGE = Path(__file__).with_name("presets.md")
EXAMPLE = Path(__file__).parents[1] / "examples" / "nio_vasp.yaml"
HEAD = """\
# The VASP presets' inputs

These are the inputs that `vasp-pbe` and `vasp-r2scan-rvv10` write for four conventional cells.
The settings are those of Wang 2026, with VASP's defaults made explicit where atomate2 has others.
Then come inputs that are spin-polarised with U, for the seed of `examples/nio_vasp.yaml`.
The last are those of published data sets.

`python docs/presets.py` makes this page.
For your own cell: `entropy-flows check campaign.yaml --inputs folder`.
"""
MAGNETIC = """\
## Spin and U

| `label:` | INCAR |
| --- | --- |
| neither | no ISPIN, no MAGMOM, no LDAU: VASP without spin |
| `{engine: vasp-pbe, spin: true}` | ISPIN = 2; MAGMOM of each atom; LORBIT = 10 for final moments |
| `{…, hubbard_u: {Ni: 6.2}}` | LDAU, LDAUTYPE = 2 (Dudarev), LASPH; LDAUU, LDAUJ and LDAUL |

MAGMOM follows the atoms of each POSCAR; LDAUU, LDAUJ and LDAUL follow its species.
U acts on d states, of lanthanides and actinides on f states.
A cell in which no element has a U has no LDAU.
Tags in `user_incar_settings` have the last word, with tables by element: `{LDAUL: {Ce: 2}}`.
[magnetism.md](magnetism.md) says where moments come from and where they go.
"""
PUBLISHED = """\
## Settings of published data sets

| `label: {engine: …}` | written by | of |
| --- | --- | --- |
| `vasp-matpes-pbe` | atomate2's `MatPesGGAStaticMaker` | MatPES |
| `vasp-matpes-r2scan` | atomate2's `MatPesMetaGGAStaticMaker` | MatPES |
| `vasp-mp` | atomate2's `MPGGAStaticMaker` | the Materials Project |
| `vasp-omat` | `OMat24StaticSet` of fairchem-data-omat, `entropy_flows[omat]` | OMat24 |

Nothing of these sets is copied.
Another version of their package may write other inputs, which the hash shows.
All are spin-polarised, and take the moments of the cell; `spin: false` turns it off.
`hubbard_u: true` or `false` turns on or off the set's own U for oxides and fluorides.
MatPES is published without U, the other two with it.
"""
CELLS = {
    "Silicon, PBE": ("vasp-pbe", "Fd-3m", Lattice.cubic(5.43), {"Si": [0, 0, 0]}),
    "NaCl, PBE": (
        "vasp-pbe",
        "Fm-3m",
        Lattice.cubic(5.64),
        {"Na": [0, 0, 0], "Cl": [0.5, 0.5, 0.5]},
    ),
    "Diamond, r²SCAN + rVV10": (
        "vasp-r2scan-rvv10",
        "Fd-3m",
        Lattice.cubic(3.57),
        {"C": [0, 0, 0]},
    ),
    "Graphite, r²SCAN + rVV10": (
        "vasp-r2scan-rvv10",
        "P6_3/mmc",
        Lattice.hexagonal(2.46, 6.70),
        {("C", 0): [0, 0, 0.25], ("C", 1): [1 / 3, 2 / 3, 0.25]},
    ),
}


def text() -> str:
    """Return the page."""
    parts = [HEAD]
    for title, (engine, spacegroup, lattice, sites) in CELLS.items():
        species = [site if isinstance(site, str) else site[0] for site in sites]
        cell = Structure.from_spacegroup(spacegroup, lattice, species, list(sites.values()))
        parts.append(section(title, f"{{engine: {engine}}}", cell, LabelParams(engine=engine)))
    campaign = load_campaign(EXAMPLE)
    cell = build_seed(campaign.phases[0], EXAMPLE.parent).cell
    given = "{engine: vasp-pbe, spin: true, hubbard_u: {Ni: 6.2}}"
    parts += [MAGNETIC, section("Antiferromagnetic NiO, PBE+U", given, cell, campaign.label)]
    parts.append(PUBLISHED)
    for title, engine, options in (
        ("MatPES, PBE", "vasp-matpes-pbe", {}),
        ("MatPES, PBE+U", "vasp-matpes-pbe", {"hubbard_u": True}),
        ("MatPES, r²SCAN", "vasp-matpes-r2scan", {}),
        ("Materials Project, PBE+U", "vasp-mp", {}),
    ):
        given = f"{{engine: {engine}{', hubbard_u: true' if options else ''}}}"
        params = LabelParams(engine=engine, **options)
        parts.append(section(f"Antiferromagnetic NiO as {title}", given, cell, params))
    return "\n".join(parts)


def section(title: str, given: str, cell: Structure, params: LabelParams) -> str:
    """Return the inputs of one cell; `given` is what the campaign file says of the engine."""
    maker = make_static_maker(params)
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(cell, maker, folder)
        incar = (Path(folder) / "INCAR").read_text().strip()
        mesh = Path(folder) / "KPOINTS"
        kpoints = mesh.read_text().strip() if mesh.is_file() else ""
    lengths = ", ".join(f"{length:.2f}" for length in cell.lattice.abc)
    moments = f"; moments {summary(cell)} μ_B" if summary(cell) else ""
    shown = f'\n```text title="KPOINTS"\n{kpoints}\n```\n' if kpoints else ""
    return (
        f"## {title}\n\n"
        f"`{given}`; {len(cell)} atoms, {lengths} Å{moments}; POTCAR {', '.join(inputs['potcar'])} "
        f"({inputs['potcar_functional']}); engine hash `{engine_of(maker).hash[:12]}…`\n\n"
        f'```text title="INCAR"\n{incar}\n```\n{shown}'
    )


if __name__ == "__main__":
    PAGE.write_text(text())
    print(f"written: {PAGE}")
