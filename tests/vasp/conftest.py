"""The VASP preset as users run it, with the stand-in for an executable."""

import sys
from pathlib import Path

import pytest
from fake_potcars import write_potcars

# As VASP does, an old OUTCAR goes at once: Python takes its time to start, and custodian's monitors
# read meanwhile.
STANDIN = f"sh -c 'rm -f OUTCAR; exec {sys.executable} {Path(__file__).with_name('standin.py')}'"


@pytest.fixture(scope="session")
def potcars(tmp_path_factory):
    return write_potcars(tmp_path_factory.mktemp("potcars"))


@pytest.fixture
def vasp(potcars, tmp_path, monkeypatch):
    """Makes PBE static Makers that run the stand-in under custodian, whose polling is hurried up.

    Its monitors look on only where a test gives handlers.
    """
    import pymatgen.io.vasp.inputs as inputs

    from entropy_flows.label import LabelParams, make_static_maker

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(inputs.SETTINGS, "PMG_VASP_PSP_DIR", str(potcars))
    monkeypatch.delenv("CUSTODIAN_WALLTIME_START", raising=False)

    def make(engine="vasp-pbe", incar=None, options=None, **run_vasp_kwargs):
        run = {
            "vasp_cmd": STANDIN,
            "vasp_gamma_cmd": STANDIN,
            "custodian_kwargs": {
                "polling_time_step": 0.2,
                "monitor_freq": 1 if "handlers" in run_vasp_kwargs else 1000,
            },
            **run_vasp_kwargs,
        }
        params = {"user_incar_settings": incar or {}, "run_vasp_kwargs": run}
        if engine in ("vasp-pbe", "vasp-r2scan-rvv10"):
            params["kpoint_length"] = 10
        return make_static_maker(LabelParams(engine=engine, **params, **(options or {})))

    return make
