"""`entropy-flows import`: what it prints, what it refuses, and that the other commands take what it
wrote.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.io import read, write
from cells import Spring, rattled

from entropy_flows import load_campaign
from entropy_flows.geometry import to_structure
from entropy_flows.store import CampaignStore, verify_context

DEMO = Path(__file__).parents[2] / "examples" / "silicon_demo.yaml"


@pytest.fixture
def campaign(tmp_path):
    """The demo with a short fingerprint and labels of a calculator that starts in no time."""
    config = yaml.safe_load(DEMO.read_text())
    config |= {
        "global_fingerprint": {"cutoff": 3.0, "natx": 4},
        "base_model": "SevenNet-0",
        "student": None,
    }
    config |= {"label": {"engine": "forcefield", "model": "ase.calculators.emt.EMT"}}
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def source(tmp_path):
    """Eight cells, and one without a label."""
    frames = []
    for seed in range(9):
        atoms = rattled("Si", repeat=1, stdev=0.2, seed=seed)
        if seed != 4:
            atoms.calc = Spring()
            atoms.get_stress()
        frames.append(atoms)
    write(tmp_path / "known.extxyz", frames)
    return tmp_path / "known.extxyz"


@pytest.fixture
def command(database, tmp_path, campaign, monkeypatch, run_main):
    """Run a command; exit code and what it prints, in one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verify_context, "SETTLE_SECONDS", 0.0)

    def run(name, *options):
        return run_main(name, campaign, *options, "-C", tmp_path / "folder")

    return run


def test_an_import_and_what_the_other_commands_make_of_it(command, source, campaign, tmp_path):
    code, printed = command("import", source, "--settings-as-engine")
    assert code == 0
    for words in (
        "read 9",
        "entered 8",
        "there already 0",
        "skipped 1",
        "campaign's settings 8",
        "data set 8",
    ):
        assert words in printed
    assert "1 × no energy; beside the cell it has nothing; expected energy, REF_energy" in printed
    assert "log det Σ, per configuration: " in printed
    code, printed = command("import", source, "--settings-as-engine")
    assert code == 0
    assert "entered 0 there already 8" in printed
    assert command("verify")[0] == 0
    code, printed = command("status")
    assert "is new" in printed
    assert "imported 8" in printed
    assert "EMT (teacher, not DFT), imported" in printed
    assert command("report")[0] == 0
    page = (tmp_path / "folder" / "report" / "index.html").read_text()
    assert "imported" in page
    assert command("export", tmp_path / "out.extxyz") == (
        0,
        f"8 cells written to {tmp_path / 'out.extxyz'}",
    )
    assert {atoms.info["stage"] for atoms in read(tmp_path / "out.extxyz", ":")} == {"import"}


def test_labels_of_other_settings_are_not_exported(command, source, tmp_path):
    code, printed = command("import", source, "--sequential")
    assert code == 0
    assert "labels of other settings are not trained on" in printed
    code, printed = command("export", tmp_path / "out.extxyz")
    assert code == 1
    assert "has no labels yet" in printed
    assert command("verify")[0] == 0


def test_the_products_own_file_for_mace_comes_back_whole(
    command, source, campaign, database, tmp_path
):
    """Numbers and splits; a bad frame and a bad cell are lines with their reasons."""
    assert command("import", source, "--settings-as-engine")[0] == 0
    assert command("export", tmp_path / "mace.xyz", "--format", "mace")[0] == 0
    before = CampaignStore(database, load_campaign(campaign).name).splits()
    frames = read(tmp_path / "mace.xyz", ":")
    assert sorted(atoms.info["split"] for atoms in frames) == sorted(before.values())
    lines = (tmp_path / "mace.xyz").read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace("REF_energy=", "REF_energy=****")
    lines[7] = lines[6]  # two atoms in one place
    (tmp_path / "mace.xyz").write_text("".join(lines))
    config = yaml.safe_load(campaign.read_text()) | {"name": "next"}
    campaign.write_text(yaml.safe_dump(config))
    code, printed = command("import", tmp_path / "mace.xyz", "--settings-as-engine")
    assert code == 0
    for words in (
        "read 8",
        "entered 6",
        "skipped 2",
        "campaign's settings 6",
        "7 × REF_energy is read as energy",
    ):
        assert words in printed
    assert "REF_energy is '****" in printed
    assert "1 × bad_geometry: atoms 0 and 1 (Si, Si) are 0.000 Å apart" in printed
    store = CampaignStore(database, "next")
    assert sorted(store.splits().values()) == sorted(atoms.info["split"] for atoms in frames[2:])
    for new, old in zip(store.frames(), frames[2:], strict=True):
        assert new.get_potential_energy() == pytest.approx(old.info["REF_energy"], abs=1e-12)
        np.testing.assert_allclose(new.get_forces(), old.arrays["REF_forces"], atol=1e-8)
        np.testing.assert_allclose(new.get_stress(voigt=False), old.info["REF_stress"], atol=1e-12)


def test_a_file_without_a_good_frame_is_refused(command, tmp_path, database):
    (tmp_path / "bad.xyz").write_text("1\nenergy=-1.0\nSi 0 0 0\n" * 3)
    code, printed = command("import", "bad.xyz")
    assert code == 1
    assert "nothing imported: none of 3 frames can be used; bad.xyz[0]: no forces" in printed
    assert database["structures"].count_documents({}) == 0


def test_strict_writes_nothing(command, source, database):
    code, printed = command("import", source, "--strict")
    assert code == 1
    assert printed.startswith("error: nothing imported: known.extxyz[4]: no energy")
    assert printed.endswith("; 1 of 9 frames cannot be used")
    assert database["structures"].count_documents({}) == 0


def test_a_collection(command, campaign, database, server, monkeypatch):
    atoms = rattled("Si", repeat=1)
    output = {
        "energy": -9.0,
        "forces": [[0.1, 0, 0], [-0.1, 0, 0]],
        "structure": to_structure(atoms).as_dict(),
    }
    rows = [
        {
            "uuid": str(n),
            "index": 1,
            "metadata": {"tag": tag},
            "output": {"output": {**output, "energy": -9.0 - n}},
        }
        for n, tag in enumerate(("yes", "yes", "no"))
    ]
    database["theirs"].insert_many(rows)
    monkeypatch.setenv("THEIR_URI", server)
    options = ("--format", "atomate2", "--query", json.dumps({"metadata.tag": "yes"}))
    elsewhere = ("--uri-env", "THEIR_URI", "--database", database.name)
    code, printed = command("import", "theirs", *options, *elsewhere)
    assert code == 0
    assert f"2 documents of theirs in {database.name}" in printed
    assert "entered 2" in printed
    entries = (
        CampaignStore(database, load_campaign(campaign).name)
        .ledger(load_campaign(campaign).dataset)
        .entries()
    )
    assert [entry["origin"]["source"] for entry in entries] == [
        {"collection": "theirs", "task": n} for n in "01"
    ]
    assert "there already 2" in command("import", "theirs", *options)[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nothing.xyz"], "nothing.xyz does not exist"),
        (["."], "has no vasprun.xml"),
        ([".", "--format", "extxyz"], ". is a folder: not of the format extxyz"),
        (["known.extxyz", "--query", '{"a": 1}'], "are for --format atomate2"),
        (["outputs", "--format", "atomate2", "--query", "{tag: 1}"], "is not JSON"),
        (["outputs", "--format", "atomate2", "--query", "[]"], "expected an object"),
        (["outputs", "--format", "atomate2"], "collection outputs of database"),
        (
            ["outputs", "--format", "atomate2", "--uri-env", "NO_SUCH"],
            "environment variable NO_SUCH is not set",
        ),
    ],
)
def test_what_is_refused(command, source, options, words):
    code, printed = command("import", *options)
    assert code == 1
    assert words in printed
