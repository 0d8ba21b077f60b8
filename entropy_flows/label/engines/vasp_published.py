"""VASP with the settings that published data sets were made with, as their own packages have them.

Labels by one of these may be joined with the data set itself, as far as POTCARs and version agree.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from entropy_flows.label.engines.vasp import VaspRunParams
from entropy_flows.label.reasons import EngineError

if TYPE_CHECKING:
    from jobflow import Maker

_WITHOUT_SPIN = {"ISPIN": 1, "MAGMOM": None, "LORBIT": None}


class PublishedVaspParams(VaspRunParams):
    """VASP with the input set of MatPES, of the Materials Project or of OMat24."""

    engine: Literal["vasp-matpes-pbe", "vasp-matpes-r2scan", "vasp-mp", "vasp-omat"] = (
        "vasp-matpes-pbe"
    )
    """Data set: MatPES with PBE or r²SCAN, the Materials Project's GGA single points, or OMat24."""
    spin: bool = True
    """Whether the calculation is spin-polarised, as published; MAGMOM is the moments of the cell,
    see `phases.magmoms`."""
    hubbard_u: bool | None = None
    """Whether the set's own U acts on transition metals in oxides and fluorides; None is as
    published: without for MatPES, with for the others."""

    def make_maker(self) -> Maker:
        """Build the Maker that the set comes with, or atomate2's StaticMaker.

        Raises
        ------
        EngineError
            If INCAR tags are given that no input set can carry from cell to cell, or the package
            with OMat24's set is not installed.
        """
        self.check_tags()
        maker: Any = _published_maker(self.engine)
        generator = maker.input_set_generator
        tags = dict(generator.user_incar_settings or {})
        tags |= {} if self.spin else _WITHOUT_SPIN
        tags |= {} if self.hubbard_u is None else {"LDAU": self.hubbard_u}
        maker.input_set_generator = replace(
            generator,
            user_incar_settings={**tags, **self.user_incar_settings},
            user_potcar_functional=self.user_potcar_functional or generator.user_potcar_functional,
            user_potcar_settings=self.user_potcar_settings,
        )
        maker.run_vasp_kwargs = self.run_settings()
        return maker


def _published_maker(engine: str) -> Maker:
    """Return the Maker of one of the sets, with its defaults."""
    if engine == "vasp-omat":
        from atomate2.vasp.jobs.core import StaticMaker

        return StaticMaker(input_set_generator=_omat_set()())
    if engine == "vasp-mp":
        from atomate2.vasp.jobs.mp import MPGGAStaticMaker

        return MPGGAStaticMaker()
    from atomate2.vasp.jobs.matpes import MatPesGGAStaticMaker, MatPesMetaGGAStaticMaker

    return MatPesGGAStaticMaker() if engine == "vasp-matpes-pbe" else MatPesMetaGGAStaticMaker()


def _omat_set() -> Any:
    """Import OMat24's input set.

    Its module points pymatgen to its own folder of tables, where pymatgen would then look for all
    others.
    """
    from pymatgen.io.vasp import sets

    folder = sets.MODULE_DIR
    try:
        from fairchem.data.omat.vasp.sets import OMat24StaticSet
    except ImportError as error:
        raise EngineError(
            f"OMat24's input set is not installed ({error}): pip install 'entropy_flows[omat]'"
        ) from error
    finally:
        sets.MODULE_DIR = folder
    return OMat24StaticSet
