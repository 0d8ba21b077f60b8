"""Data sets as the programs that train on them want them: one file a format, one function in each.

=========  ======================================================  =====================
format     what is written                                         units
=========  ======================================================  =====================
extxyz     a file of cells with whatever labels they have          eV, eV/Å, eV/Å³
mace       a file with MACE's keys REF_energy, REF_forces, …       eV, eV/Å, eV/Å³
pacemaker  a folder: data.pckl.gzip (pandas) and input.yaml        eV, eV/Å
deepmd     a folder of DeePMD systems, one for each formula        eV, eV/Å; virial in eV
=========  ======================================================  =====================

All but extxyz want labels.
"""

from entropy_flows.formats.deepmd import write_deepmd
from entropy_flows.formats.extxyz import write_extxyz, write_mace
from entropy_flows.formats.labelled import Labelled, labelled
from entropy_flows.formats.pacemaker import PacemakerParams, write_pacemaker

__all__ = [
    "Labelled",
    "PacemakerParams",
    "labelled",
    "write_deepmd",
    "write_extxyz",
    "write_mace",
    "write_pacemaker",
]
