"""POTCARs without a licence: the lines that pymatgen reads, and a few numbers that mean nothing."""

from itertools import product
from pathlib import Path

ELECTRONS = {"Si": 4, "C": 4, "Na_pv": 7, "Cl": 7, "Ni": 10, "Ni_pv": 16, "O": 6}
FUNCTIONALS = ("POT_GGA_PAW_PBE_54", "POT_PAW_PBE_64", "POT_GGA_PAW_PBE")


def write_potcars(folder: Path) -> Path:
    """A library for PMG_VASP_PSP_DIR."""
    for functional, (symbol, electrons) in product(FUNCTIONALS, ELECTRONS.items()):
        target = folder / functional / f"POTCAR.{symbol}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(
            f"  PAW_PBE {symbol} 01Jan2000\n   {electrons}.00000000000000\n"
            f" parameters from PSCTR are:\n"
            f"   VRHFIN ={symbol.split('_')[0]}: s2p2\n   LEXCH  = PE\n"
            f"   EATOM  =   103.0669 eV,    7.5752 Ry\n\n"
            f"   TITEL  = PAW_PBE {symbol} 01Jan2000\n   LULTRA =        F    use ultrasoft PP ?\n"
            f"   POMASS =   28.085; ZVAL   =    {electrons}.000    mass and valenz\n"
            "   ENMAX  =  245.345; ENMIN  =  184.009 eV\n"
            " END of PSCTR-controll parameters\n local part\n   0.1E+01 0.2E+01\n End of Dataset\n"
        )
    return folder
