"""Final moments as VASP prints them to OUTCAR: the last table, collinear ones alone."""

import gzip

import pytest

from entropy_flows.label.outcar import moments_beside

HEAD = "\n magnetization ({axis})\n\n# of ion       s       p       d       tot\n" + "-" * 42 + "\n"
TOTAL = " number of electron      32.0000000 magnetization {total:15.7f}\n"


def table(axis, *moments):
    rows = "".join(
        f"    {n}        0.001  -0.002{m - 0.1:8.3f}{m:8.3f}\n" for n, m in enumerate(moments, 1)
    )
    last = f"tot         0.003   0.002   1.000{sum(moments):8.3f}\n" if len(moments) > 1 else ""
    return HEAD.format(axis=axis) + rows + "-" * 50 + "\n" + last


def outcar(folder, text, name="OUTCAR", run="vasprun.xml"):
    (folder / name).write_bytes(
        gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    )
    return moments_beside(folder / run)


def test_the_last_ionic_step_counts(tmp_path):
    text = (
        TOTAL.format(total=3)
        + table("x", 1.0, 2.0)
        + TOTAL.format(total=-0.1)
        + table("x", 1.6, -1.7)
    )
    moments = outcar(tmp_path, text)
    assert [row["tot"] for row in moments["magnetization"]] == [1.6, -1.7]
    assert moments["total_magnetization"] == -0.1


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("OUTCAR.gz", "vasprun.xml.gz"),
        ("OUTCAR", "vasprun.xml.bz2"),
        ("OUTCAR.relax2.gz", "vasprun.xml.relax2"),
    ],
)
def test_it_lies_beside_the_run(tmp_path, name, run):
    assert outcar(tmp_path, table("x", 2.0), name, run)["magnetization"] == [{"tot": 2.0}]


def test_without_spin_or_orbitals_there_are_none(tmp_path):
    assert outcar(tmp_path, " number of electron      32.0000000 magnetization \n") == {
        "magnetization": [],
        "total_magnetization": None,
    }
    assert moments_beside(tmp_path / "other.xml") == {}
    assert moments_beside(tmp_path / "elsewhere" / "vasprun.xml") == {}
    (tmp_path / "OUTCAR").write_bytes(gzip.compress(table("x", 2.0).encode())[:40])  # cut off
    assert moments_beside(tmp_path / "vasprun.xml") == {}


def test_moments_that_are_not_collinear_are_left(tmp_path):
    assert (
        outcar(tmp_path, table("x", 1.0, 0.0) + table("y", 0.0, 1.0) + table("z", 0.0, 0.0)) == {}
    )
