"""VASP's files as the stand-in reads and writes them, in VASP's units, signs, order and digits."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
from ase import Atoms

KBAR = 1602.1766208  # kBar in an eV/Å³


def read_incar() -> dict[str, str]:
    """Tags, as text, in upper case."""
    lines = (line.split("#")[0] for line in Path("INCAR").read_text().splitlines())
    return {
        key.strip().upper(): value.strip()
        for key, sep, value in (x.partition("=") for x in lines)
        if sep
    }


def read_poscar() -> Atoms:
    """The cell, as VASP takes it: species in blocks, right-handed vectors."""
    lines = Path("POSCAR").read_text().splitlines()
    cell = float(lines[1]) * np.array([line.split()[:3] for line in lines[2:5]], dtype=float)
    if np.linalg.det(cell) < 0:
        raise SystemExit(
            " ERROR: the triple product of the basis vectors is negative exchange two basis vectors"
        )
    counts = [int(n) for n in lines[6].split()]
    symbols = [
        s
        for symbol, n in zip(lines[5].split(), counts, strict=True)
        for s in [symbol.split("_")[0]] * n
    ]
    direct = lines[7].strip().lower().startswith("d")
    rows = np.array([line.split()[:3] for line in lines[8 : 8 + len(symbols)]], dtype=float)
    return Atoms(
        symbols, cell=cell, pbc=True, **{"scaled_positions" if direct else "positions": rows}
    )


def read_mesh(atoms: Atoms, incar: dict[str, str]) -> tuple[str, list[int]]:
    """Return style and divisions of KPOINTS; without one those of KSPACING (0.5 Å⁻¹ by default)."""
    if not Path("KPOINTS").is_file():
        lengths = 2 * np.pi * np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
        return "Gamma", [
            max(1, int(np.ceil(b / float(incar.get("KSPACING", 0.5))))) for b in lengths
        ]
    lines = Path("KPOINTS").read_text().splitlines()
    return ("Gamma" if lines[2].strip().lower().startswith("g") else "Monkhorst-Pack"), [
        *map(int, lines[3].split())
    ]


def pseudopotentials() -> list[tuple[str, float]]:
    """TITEL and ZVAL of each pseudopotential, made up where there is only POTCAR.spec."""
    if not Path("POTCAR").is_file():
        return [
            (f"PAW_PBE {symbol} 01Jan2000", 4.0)
            for symbol in Path("POTCAR.spec").read_text().split()
        ]
    text = Path("POTCAR").read_text()
    titles = re.findall(r"TITEL *= *(.*)", text)
    valences = re.findall(r"ZVAL *= *([\d.]+)", text)
    return [(title.strip(), float(z)) for title, z in zip(titles, valences, strict=True)]


def write_outcar_head() -> None:
    """Write what VASP prints before the first electronic step."""
    Path("OUTCAR").write_text(
        " vasp.6.4.2 20Jul23 (a stand-in, not VASP)\n running on    1 total cores\n"
        "   number of bands    NBANDS=     16\n"
        "   total plane-waves  NPLWV =      8000\n"
        " number of electron      32.0000000 magnetization\n"
        "   IBRION =     -1    ionic relax: 0-MD 1-quasi-New 2-CG\n"
    )


def write_outcar_step(number: int, free: float, entropy: float, ionic: int = 1) -> None:
    """One electronic step; F and −TS in eV."""
    with Path("OUTCAR").open("a") as file:
        file.write(
            f"\n--------------------------------------- Iteration {ionic:6d}({number:4d})"
            f"  ---------------\n"
            f"  entropy T*S    EENTRO =     {entropy:15.8f}\n"
            f"  free energy    TOTEN  =     {free:15.8f} eV\n"
            "     LOOP:  cpu time    0.0100: real time    0.0100\n"
        )


def starting_moments(incar: dict[str, str], atoms: Atoms) -> list[float] | None:
    """MAGMOM (μ_B) of each atom, as VASP takes it; None without spin."""
    if incar.get("ISPIN", "1") != "2":
        return None
    moments = expanded(incar["MAGMOM"]) if "MAGMOM" in incar else [1.0] * len(atoms)
    if len(moments) != len(atoms):
        raise SystemExit(f" ERROR: MAGMOM has {len(moments)} numbers for {len(atoms)} ions")
    return moments


def expanded(text: str) -> list[float]:
    """Numbers of a list in INCAR: 2*0.5 1.0 is 0.5 0.5 1.0."""
    numbers: list[float] = []
    for word in text.split():
        count, star, value = word.rpartition("*")
        numbers += [float(value)] * (int(count) if star else 1)
    return numbers


def final_moments(starting: list[float]) -> list[float]:
    """Make up final moments, another one for each position in POSCAR."""
    return [round(0.8 * moment + 0.001 * number, 3) for number, moment in enumerate(starting, 1)]


def write_outcar_moments(incar: dict[str, str], atoms: Atoms) -> None:
    """Number of electrons and total moment; with LORBIT ≥ 10 the moments of all atoms."""
    starting = starting_moments(incar, atoms)
    final = final_moments(starting or [])
    total = f"{sum(final):15.7f}" if starting else ""
    lines = [f" number of electron      32.0000000 magnetization {total}", ""]
    if starting and int(incar.get("LORBIT", 0)) >= 10:
        rows = [f"{n:5d}     {0:8.3f}{0:8.3f}{m:8.3f}{m:8.3f}" for n, m in enumerate(final, 1)]
        head = [
            "",
            " magnetization (x)",
            "",
            "# of ion       s       p       d       tot",
            "-" * 42,
        ]
        lines += [
            *head,
            *rows,
            "-" * 50,
            f"tot        {0:8.3f}{0:8.3f}{sum(final):8.3f}{sum(final):8.3f}",
            "",
        ]
    with Path("OUTCAR").open("a") as file:
        file.write("\n".join(lines) + "\n")


def write_outcar_ionic(free: float, entropy: float, converged: bool) -> None:
    """The end of an ionic step."""
    why = "because EDIFF is reached" if converged else "EDIFF was not reached (unconverged)"
    with Path("OUTCAR").open("a") as file:
        file.write(
            f"------------------------ aborting loop {why} "
            f"----------------------------------------\n"
            "    total drift:                                0.000000      0.000000      0.000000\n"
            f"  free  energy   TOTEN  =     {free:15.8f} eV\n\n"
            f"  energy  without entropy= {free - entropy:15.8f}"
            f"  energy(sigma->0) = {free - entropy / 2:15.8f}\n"
            "     LOOP+:  cpu time    0.1000: real time    0.1000\n"
        )


def write_outcar_tail(seconds: float) -> None:
    """Write what VASP prints at the end."""
    with Path("OUTCAR").open("a") as file:
        file.write(
            f"                         Elapsed time (sec): {seconds:12.3f}\n"
            f"                         Total CPU time used (sec): {seconds:12.3f}\n"
        )


def write_oszicar(steps: list[list[float]], free: list[float], e0: list[float]) -> None:
    """The electronic steps of each ionic step, and the ionic steps."""
    rows = []
    for number, (energies, f, e) in enumerate(zip(steps, free, e0, strict=True), 1):
        rows.append(
            "       N       E                     dE             d eps       ncg     rms"
            "          rms(c)"
        )
        for step, (energy, before) in enumerate(zip(energies, [0.0, *energies], strict=False), 1):
            rows.append(
                f"DAV: {step:3d}    {energy:19.12E}   {energy - before:12.5E}"
                f"   0.00000E+00   100   0.100E-02"
            )
        rows.append(f"{number:4d} F= {_fortran(f)} E0= {_fortran(e)}  d E ={_fortran(f - e)}")
    Path("OSZICAR").write_text("\n".join(rows) + "\n")


def write_contcar(atoms: Atoms) -> None:
    """The cell as the ions stand at the end: that of POSCAR, if nothing has moved."""
    lines = Path("POSCAR").read_text().splitlines()
    lines[1] = "1.0"
    lines[2:5] = [" ".join(f"{x:.16f}" for x in row) for row in atoms.cell.array]
    lines[7] = "Direct"
    lines[8 : 8 + len(atoms)] = [
        " ".join(f"{x:.16f}" for x in row) for row in atoms.get_scaled_positions(wrap=False)
    ]
    Path("CONTCAR").write_text("\n".join(lines[: 8 + len(atoms)]) + "\n")


def calculation(
    atoms: Atoms, steps: list[float], energies: dict[str, float], entropy: float, forces, stress
) -> str:
    """One ionic step of vasprun.xml.

    Energies in eV, by the names that VASP gives them; forces in eV/Å; stress in kBar, positive
    under compression.
    """
    scsteps = "".join(f"  <scstep>\n{_scf_energy(e, entropy)}  </scstep>\n" for e in steps)
    body = _structure(atoms) + _rows("forces", forces) + _rows("stress", stress) + _energy(energies)
    return f" <calculation>\n{scsteps}{body} </calculation>\n"


def write_vasprun(
    first: Atoms, incar: dict[str, str], calculations: list[str], last: Atoms
) -> None:
    """vasprun.xml: the cell at the start, the ionic steps, and the cell at the end."""
    style, mesh = read_mesh(first, incar)
    points = np.array(list(itertools.product(*[np.arange(n) / n for n in mesh])))
    weights = np.full((len(points), 1), 1 / len(points))
    steps = "".join(calculations)
    text = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator>
  <i name="program" type="string">vasp </i>
  <i name="version" type="string">6.4.2  </i>
  <i name="subversion" type="string">a stand-in, not VASP</i>
 </generator>
 <incar>
{"".join(_tag(*item) for item in incar.items())} </incar>
 <kpoints>
  <generation param="{style}">
   <v type="int" name="divisions">{" ".join(f"{n:8d}" for n in mesh)}</v>
   <v name="usershift">0.0 0.0 0.0</v>
  </generation>
{_rows("kpointlist", points)}{_rows("weights", weights)} </kpoints>
 <parameters>
{"".join(_tag(*item) for item in _parameters(incar, first).items())} </parameters>
{_atominfo(first)}{_structure(first, "initialpos")}{steps}{_structure(last, "finalpos")}</modeling>
"""
    Path("vasprun.xml").write_text(text)


def _parameters(incar: dict[str, str], atoms: Atoms) -> dict[str, str]:
    """Return INCAR's tags, and what VASP takes where INCAR says nothing."""
    symbols = atoms.get_chemical_symbols()
    valences = [z for _, z in pseudopotentials()]
    electrons = sum(
        symbols.count(s) * z for s, z in zip(dict.fromkeys(symbols), valences, strict=True)
    )
    defaults = {
        "NELM": "60",
        "NSW": "0",
        "IBRION": "-1",
        "EDIFF": "1E-4",
        "ISPIN": "1",
        "LORBIT": "0",
        "ISMEAR": "1",
    }
    return {**defaults, "NELECT": f"{electrons:.8f}", **incar}


def _tag(name: str, value: str) -> str:
    """One tag with the type VASP gives it."""
    if name in ("MAGMOM", "LDAUU", "LDAUJ"):
        return f'  <v name="{name}"> {" ".join(f"{x:.8f}" for x in expanded(value))}</v>\n'
    if name == "LDAUL":
        return (
            f'  <v type="int" name="{name}"> {" ".join(f"{x:.0f}" for x in expanded(value))}</v>\n'
        )
    if value.strip(".").upper() in ("TRUE", "FALSE", "T", "F"):
        return f'  <i type="logical" name="{name}"> {value.strip(".")[0].upper()}  </i>\n'
    try:
        int(value)
        return f'  <i type="int" name="{name}"> {value}</i>\n'
    except ValueError:
        pass
    try:
        return f'  <i name="{name}"> {float(value):.8f}</i>\n'
    except ValueError:
        return f'  <i type="string" name="{name}">{value}</i>\n'


def _atominfo(atoms: Atoms) -> str:
    symbols = atoms.get_chemical_symbols()
    kinds = list(dict.fromkeys(symbols))
    one = "".join(f"    <rc><c>{s:2s}</c><c>{kinds.index(s) + 1:4d}</c></rc>\n" for s in symbols)
    all_ = "".join(
        f"    <rc><c>{symbols.count(s):4d}</c><c>{s:2s}</c><c>1.0</c><c>{z}</c>"
        f"<c> {title} </c></rc>\n"
        for s, (title, z) in zip(kinds, pseudopotentials(), strict=True)
    )
    return (
        f" <atominfo>\n  <atoms>{len(symbols):8d}</atoms>\n  <types>{len(kinds):8d}</types>\n"
        f'  <array name="atoms" >\n   <set>\n{one}   </set>\n  </array>\n'
        f'  <array name="atomtypes" >\n   <set>\n{all_}   </set>\n  </array>\n </atominfo>\n'
    )


def _structure(atoms: Atoms, name: str = "") -> str:
    head = f'  <structure name="{name}" >\n' if name else "  <structure>\n"
    basis = _rows("basis", atoms.cell.array)
    positions = _rows("positions", atoms.get_scaled_positions(wrap=False))
    return f"{head}   <crystal>\n{basis}   </crystal>\n{positions}  </structure>\n"


def _rows(name: str, rows) -> str:
    body = "".join(
        "    <v>" + " ".join(f"{x:16.8f}" for x in row) + " </v>\n" for row in np.asarray(rows)
    )
    return f'   <varray name="{name}" >\n{body}   </varray>\n'


def _scf_energy(energy: float, entropy: float) -> str:
    """Write the energies of an electronic step, of F and of the entropy T S."""
    return _energy(
        {
            "e_fr_energy": energy,
            "e_wo_entrp": energy - entropy,
            "e_0_energy": energy - entropy / 2,
        }
    )


def _energy(values: dict[str, float]) -> str:
    body = "".join(f'    <i name="{name}">{value:16.8f} </i>\n' for name, value in values.items())
    return f"   <energy>\n{body}   </energy>\n"


def _fortran(value: float) -> str:
    """A number in Fortran's E15.8: 0.12345678E+02, of which VASP drops the leading zero."""
    mantissa, exponent = f"{value:.7E}".split("E")
    digits = mantissa.lstrip("-").replace(".", "")
    return f"{'-' if value < 0 else ' '}.{digits}E{int(exponent) + (value != 0):+03d}"
