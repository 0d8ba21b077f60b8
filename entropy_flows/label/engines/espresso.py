"""Quantum ESPRESSO as a label engine: the preset's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from entropy_flows.label.engines.ase_static import AseStaticParams

if TYPE_CHECKING:
    from jobflow import Maker


class EspressoParams(AseStaticParams):
    """Quantum ESPRESSO's pw.x with PBE, through ASE's interface."""

    engine: Literal["qe-pbe"] = "qe-pbe"
    """Names this engine."""
    pseudopotentials: dict[str, str] = Field(default_factory=dict)
    """File of the pseudopotential by element, in `pseudo_dir`; such as {Si: Si.pbe-rrkj.UPF}."""
    pseudo_dir: str = "/usr/share/espresso/pseudo"
    """Folder of the pseudopotentials; the default is Debian's."""
    density_cutoff: float | None = Field(None, gt=0)
    """Cutoff of the density (eV); None is 4 times `cutoff`, too little for ultrasoft ones."""
    command: str = "pw.x"
    """How pw.x is started, such as `mpirun pw.x`."""

    def make_maker(self) -> Maker:
        """Build the Maker of a single point.

        Raises
        ------
        EngineError
            If a pseudopotential's file is not here. Whoever plans the labels needs them, since the
            hash contains their content.
        """
        from entropy_flows.label.espresso import EspressoStaticMaker

        maker = EspressoStaticMaker(**self.maker_fields())
        maker.deciding_parameters()
        return maker
