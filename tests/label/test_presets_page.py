"""The page with the presets' inputs is what the code makes today."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date():
    page = runpy.run_path(str(DOCS / "presets.py"))["text"]()
    assert (DOCS / "presets.md").read_text() == page, "run `python docs/presets.py`"


def test_it_has_the_papers_settings():
    silicon, salt, diamond, graphite, _, nickel_oxide, *_ = (
        (DOCS / "presets.md").read_text().split("\n## ")[1:]
    )
    for cell in (silicon, salt, diamond, graphite):
        for line in (
            "ENCUT = 600.0",
            "ISMEAR = 0",
            "SIGMA = 0.05",
            "EDIFF = 1e-06",
            "NSW = 0",
            "ISIF = 2",
            "Gamma",
        ):
            assert f"\n{line}\n" in cell
        assert not any(
            f"\n{tag} = " in cell for tag in ("ISPIN", "MAGMOM", "LDAU", "IVDW", "KSPACING")
        )
    assert all(
        "GGA = Pe" in cell and "METAGGA" not in cell and "\n7 7 7\n" in cell
        for cell in (silicon, salt)
    )
    for cell, mesh in ((diamond, "11 11 11"), (graphite, "16 16 6")):
        assert "\nGGA = " not in cell
        for line in ("METAGGA = R2scan", "BPARAM = 11.95", "LUSE_VDW = True", mesh):
            assert f"\n{line}\n" in cell
    for line in (
        "ISPIN = 2",
        "LDAUU = 6.2 0",
        "LDAUL = 2 0",
        "LDAUTYPE = 2",
        "LASPH = True",
        "LORBIT = 10",
        "ENCUT = 600.0",
    ):
        assert f"\n{line}\n" in nickel_oxide
    assert "MAGMOM = 8*-2.0 8*2.0 16*0.0" in nickel_oxide


def test_it_has_the_settings_of_published_data_sets():
    cells = (DOCS / "presets.md").read_text().split("\n## ")[8:]
    assert [cell.split("\n")[0] for cell in cells] == [
        "Antiferromagnetic NiO as MatPES, PBE",
        "Antiferromagnetic NiO as MatPES, PBE+U",
        "Antiferromagnetic NiO as MatPES, r²SCAN",
        "Antiferromagnetic NiO as Materials Project, PBE+U",
    ]
    for cell in cells:
        assert "\nISPIN = 2\n" in cell
        assert "\nMAGMOM = 8*-2.0 8*2.0 16*0.0\n" in cell
        assert ("\nLDAUU = 6.2 0\n" in cell) is ("+U" in cell.split("\n")[0])
    for cell in cells[:3]:
        assert "\nENCUT = 680.0\n" in cell
        assert "\nKSPACING = 0.22\n" in cell
        assert "KPOINTS" not in cell
        assert "(PBE_64)" in cell
    assert "\nMETAGGA = R2scan\n" in cells[2]
    assert "\nENCUT = 520.0\n" in cells[3]
