"""`entropy-flows show` tells what the documents have, and writes the cell that they have."""

import json

import numpy as np
import pytest
import yaml
from ase.io import read
from commands import run
from small_campaign import CONFIG, furnish, small_campaign

from entropy_flows.geometry import to_atoms
from entropy_flows.report.cell_errors import cell_errors
from entropy_flows.store import mean_prints
from entropy_flows.store.ledger_arrays import LedgerArrays

TEST, EXCLUDED, REJECTED = "001/select/00002", "001/select/00002", "002/select/00001"


@pytest.fixture(scope="module")
def campaign(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("show")
    with small_campaign(server, folder, "test_show") as built:
        furnish(*built)
        (folder / "test.yaml").write_text(yaml.safe_dump(CONFIG))
        yield built[0]
        built[0].database.client.drop_database(built[0].database.name)


@pytest.fixture
def show(campaign, monkeypatch, capsys):
    """Run the command; its output, which fits unless it names a path."""

    def call(*arguments, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, err = run(monkeypatch, capsys, "show", "test.yaml", *arguments)
        fits = all(len(line) <= columns for line in out.splitlines())
        assert fits or {"--json", "--output"} & set(arguments)
        return code, out, err

    return call


def story(show, key, *arguments):
    code, out, err = show(key, "--json", *arguments)
    assert code == 0, err
    return json.loads(out)


def test_key_beginning_and_position_name_the_same_entry(show):
    by_key = story(show, "001/refine/00000")
    assert story(show, "001/ref") == by_key == story(show, "4")
    assert (by_key["stage"], by_key["position"], by_key["rank"]) == ("refine", 4, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("001/select", "4 keys of campaign 'test' begin with '001/select': 001/select/00000"),
        ("001/selec/00001", "near: 001/select/00001"),
        ("9", "a position from 0 to 8"),
        ("", "no entry ''"),
    ],
)
def test_what_is_not_found_is_told_in_one_line(show, name, message):
    code, out, err = show(name)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


def test_the_story_is_that_of_the_documents(show, campaign):
    told = story(show, TEST)
    (label,) = campaign.labels(key=TEST)
    assert told["label"]["energy"] == label["free_energy"] / 2
    assert told["label"]["max_force"] == pytest.approx(
        np.linalg.norm(label["forces"], axis=1).max()
    )
    (errors,) = [each for each in cell_errors(campaign) if each.key == TEST]
    assert told["errors"]["after"]["energy_error"] == errors.after.energy_error
    assert told["errors"]["after"]["stress_mae"] == errors.after.stress_mae
    assert (told["excluded"], told["statements"][0]["why"]) == (True, "two phases")
    rejected = story(show, REJECTED)["statements"]
    assert [(each["what"], each["why"]) for each in rejected] == [("rejected", "melted")]
    failed = story(show, "5")["label"]
    assert (failed["converged"], failed["energy"], failed["evidence"]) == (False, None, "BRMIX")


def test_neighbours_are_the_nearest_of_all(show, campaign):
    book = campaign.ledger(campaign.campaign().dataset)
    means = np.array([q.mean(axis=0) for q in book.fingerprints_between(0, book.end())])
    distances = np.linalg.norm(means - means[1], axis=1)
    told = story(show, "1", "--neighbours", 3)["neighbours"]
    assert [each["position"] for each in told] == list(np.argsort(distances)[1:4])
    assert [each["distance"] for each in told] == pytest.approx(np.sort(distances)[1:4])
    assert story(show, "1", "--neighbours", 0)["neighbours"] == []


def test_means_are_averaged_once_and_only_of_this_ledger(campaign, monkeypatch):
    book = campaign.ledger(campaign.campaign().dataset)
    before = mean_prints.mean_prints(book)
    read_from = []
    between = LedgerArrays.fingerprints_between

    def counted(ledger, start, end):
        read_from.append(range(start, end))
        return between(ledger, start, end)

    monkeypatch.setattr(LedgerArrays, "fingerprints_between", counted)
    assert np.array_equal(mean_prints.mean_prints(book), before)
    assert sum(map(len, read_from)) == 0
    monkeypatch.setattr(mean_prints.Ledger, "digest_before", lambda *_: "another ledger's")
    assert np.array_equal(mean_prints.mean_prints(book), before)
    assert sum(map(len, read_from)) == len(before)


@pytest.mark.parametrize("columns", [80, 120])
def test_it_is_told_in_lines_that_fit(show, columns):
    code, out, _ = show(TEST, columns=columns)
    assert code == 0
    words = " ".join(out.split())
    assert "number 3 of 4" in words
    assert "excluded from the data set" in words
    assert "energy" in words
    assert "after iteration 1" in words
    _, out, _ = show("5", columns=columns)
    assert "BRMIX" in out


@pytest.mark.parametrize("name", ["cell.cif", "cell.extxyz", "POSCAR"])
def test_the_cell_is_written(show, campaign, tmp_path, name):
    code, out, err = show("3", "--output", tmp_path / name)
    assert code == 0, err
    assert "cell written" in " ".join(out.split())
    written = read(tmp_path / name)
    entry = campaign.find_entry("3")
    from pymatgen.core import Structure

    cell = to_atoms(Structure.from_dict(entry["structure"]))
    assert written.get_volume() == pytest.approx(cell.get_volume(), rel=1e-6)
    assert written.get_all_distances(mic=True) == pytest.approx(
        cell.get_all_distances(mic=True), abs=1e-5
    )
    if name == "cell.extxyz":
        (label,) = campaign.labels(key=entry["key"])
        assert written.get_forces() == pytest.approx(np.array(label["forces"]), abs=1e-6)
    code, _, err = show("3", "--output", tmp_path / name)
    assert code == 1
    assert "--overwrite" in err


def test_a_file_of_another_kind_is_refused(show, tmp_path):
    code, _, err = show("3", "--output", tmp_path / "cell.pdb")
    assert code == 1
    assert "expected cell.cif" in err
    assert not (tmp_path / "cell.pdb").exists()
