"""What a user gets wrong ends in one clear line and exit code 1, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from commands import run

from entropy_flows.cli.check_tables import size_rows
from entropy_flows.schemas import load_campaign

ROOT = Path(__file__).parents[2]


def changed(tmp_path: Path, edit=lambda config: None) -> Path:
    config = yaml.safe_load((ROOT / "examples" / "silicon_demo.yaml").read_text())
    edit(config)
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def poscar(tmp_path: Path, *rows: str) -> dict:
    text = "Si\n1.0\n5.43 0 0\n0 5.43 0\n0 0 5.43\nSi\n2\nCartesian\n" + "\n".join(rows) + "\n"
    (tmp_path / "POSCAR").write_text(text)
    return {"name": "given", "file": "POSCAR"}


BAD = {
    "missing key": (lambda c, _: c.pop("elements"), ["elements", "required"]),
    "misspelt key": (
        lambda c, _: c["explore"].update(temperature=[300]),
        ["explore", "did you mean 'temperatures'"],
    ),
    "negative temperature": (
        lambda c, _: c["explore"].update(temperatures=[-300]),
        ["explore.temperatures", "-300"],
    ),
    "element the model lacks": (
        lambda c, _: (
            c.update(elements=["Ge"]),
            c["phases"][0].update(sites={"Ge": [[0, 0, 0]]}),
            c["phases"].pop(),
        ),
        ["si-small.nequip.zip", "Ge", "Si"],
    ),
    "element not in elements": (
        lambda c, _: c["phases"][0].update(sites={"C": [[0, 0, 0]]}),
        ["'diamond'", "C", "Si"],
    ),
    "empty phase list": (lambda c, _: c.update(phases=[]), ["phases", "at least 1"]),
    "overlapping atoms": (
        lambda c, t: c.update(phases=[poscar(t, "0 0 0", "0.4 0 0")]),
        ["'given'", "overlap", "0.40 Å"],
    ),
    "NaN position": (lambda c, t: c.update(phases=[poscar(t, "0 0 0", "nan 1 1")]), ["'given'"]),
    "missing model file": (
        lambda c, _: c.update(base_model="none.nequip.zip"),
        ["none.nequip.zip", "does not exist"],
    ),
    "unknown model name": (lambda c, _: c.update(base_model="SevenNets"), ["SevenNets"]),
    "unknown model name with a student": (
        lambda c, _: c.update(base_model="FooBar", student=c["base_model"]),
        ["base_model", "'FooBar' is not known", "CHGNet"],
    ),
    "unknown kind of file": (
        lambda c, t: (
            (t / "model.zip").touch(),
            c.update(base_model="model.zip", student=c["base_model"]),
        ),
        ["base_model", "model.zip", "is not known"],
    ),
    "model that nothing trains": (
        lambda c, _: c.update(base_model="CHGNet"),
        ["base_model", "CHGNet", "student"],
    ),
    "recipe the trainer has nothing for": (
        lambda c, _: c.update(base_model="SevenNet-0"),
        ["ema_decay", "SevenNet", "preset: sevennet-0"],
    ),
    "unknown trainer": (
        lambda c, _: c["train"].update(trainer="nequipp"),
        ["base_model", "nequipp", "nequip, sevennet"],
    ),
    "recipe of the curve that the trainer has nothing for": (
        lambda c, _: c.update(curve={"train": {"trainer": "sevennet", "preset": "sevennet-0"}}),
        ["curve.train", "base_model"],
    ),
    "unknown engine": (lambda c, _: c["label"].update(engine="vasp"), ["vasp", "vasp-pbe"]),
    "zero budget": (lambda c, _: c["stop"].update(label_budget=0), ["stop.label_budget", "0"]),
    "misspelt key of the queue": (
        lambda c, _: c.update(queue={"train": {"wall_time": "48:00:00"}}),
        ["queue.train: unknown key 'wall_time'; did you mean 'walltime'?"],
    ),
    "key of no queue": (
        lambda c, _: c.update(queue={"label": {"zzz": 1}}),
        ["queue.label", "'zzz'", "cpus_per_task"],
    ),
    "walltime that YAML has made a number": (
        lambda c, _: c.update(queue=yaml.safe_load("{train: {walltime: 48:00:00}}")),
        ["queue.train.walltime: 172800", "without quotes", 'write walltime: "48:00:00"'],
    ),
    "misspelt key of an iteration": (
        lambda c, _: c.update(iterations=[{"selct": {}}]),
        ["selct", "did you mean 'select'"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_campaign_is_one_line_that_names_the_place(case, tmp_path, monkeypatch, capsys):
    edit, expected = BAD[case]
    path = changed(tmp_path, lambda config: edit(config, tmp_path))
    before = set(tmp_path.iterdir())
    code, _, err = run(monkeypatch, capsys, "run", path)
    assert code == 1
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert err.strip().endswith(lines[0])
    for part in expected:
        assert part in lines[0]
    assert set(tmp_path.iterdir()) == before


def test_usual_keys_of_the_queue_are_taken(tmp_path, monkeypatch, capsys):
    usual = {
        "walltime": "48:00:00",
        "queue": "long",
        "account": "a",
        "qos": "q",
        "mem": "64G",
        "gres": "gpu:1",
        "nodes": 1,
        "ntasks": 2,
        "cpus_per_task": 4,
        "constraint": "a100",
        "select": "1:ncpus=2",
    }
    path = changed(tmp_path, lambda config: config.update(queue={"train": usual}))
    assert run(monkeypatch, capsys, "check", path)[0] == 0


def test_unreachable_database(tmp_path, monkeypatch, capsys):
    from entropy_flows.settings import settings

    monkeypatch.setenv(
        "ENTROPY_FLOWS_URI", "mongodb://someone:secret@127.0.0.1:9/?serverSelectionTimeoutMS=300"
    )
    settings.cache_clear()
    code, out, err = run(monkeypatch, capsys, "status", changed(tmp_path))
    settings.cache_clear()
    assert code == 1
    assert "127.0.0.1:9" in err
    assert "cannot be reached" in err
    assert "secret" not in out + err


def test_submit_needs_a_database_that_workers_reach(tmp_path, monkeypatch, capsys):
    from entropy_flows.settings import settings

    monkeypatch.delenv("ENTROPY_FLOWS_URI", raising=False)
    settings.cache_clear()
    code, _, err = run(monkeypatch, capsys, "submit", changed(tmp_path))
    assert code == 1
    assert "ENTROPY_FLOWS_URI" in err


def test_check_prints_size_and_runs_nothing(tmp_path, monkeypatch, capsys):
    path = changed(tmp_path)
    code, out, _ = run(monkeypatch, capsys, "check", path)
    assert code == 0
    assert "teacher, not DFT" in out
    assert "candidates" in out
    assert f"how long it takes: entropy-flows check {path} --time" in out
    assert list(tmp_path.iterdir()) == [path]


def test_check_says_that_an_id_was_not_looked_up(tmp_path, monkeypatch, capsys):
    name = "nequip.net:mir-group/Allegro-OAM-XXL:9"
    code, out, _ = run(
        monkeypatch,
        capsys,
        "check",
        changed(tmp_path, lambda config: config.update(base_model=name)),
    )
    assert code == 0
    assert f"base_model {name} was not looked up" in out
    assert "https://www.nequip.net" in out
    assert "student" not in out
    code, out, _ = run(monkeypatch, capsys, "check", changed(tmp_path))
    assert "looked up" not in out


@pytest.mark.parametrize(
    ("most", "budget", "expected"),
    [
        (200, 600, ["200", "400", "600"]),
        (200, 500, ["200", "400", "500"]),
        (None, 600, ["600"] * 3),
        (200, None, ["200", "400", "600"]),
        (None, None, ["all accepted"] * 3),
    ],
)
def test_check_tells_how_many_labels_there_can_be_after_each_iteration(
    most, budget, expected, tmp_path
):
    def edit(config):
        config["select"]["max_labels"] = most
        config["stop"] = {"max_iterations": 3, "label_budget": budget}

    header, *rows = size_rows(load_campaign(changed(tmp_path, edit)), ["diamond"])
    column = header.index("labels so far ≤")
    assert [row[column] for row in rows] == expected


def test_check_writes_vasp_inputs_of_the_paper(tmp_path, monkeypatch, capsys):
    code, _, _ = run(
        monkeypatch,
        capsys,
        "check",
        ROOT / "examples" / "carbon_vasp.yaml",
        "--inputs",
        tmp_path / "inputs",
    )
    assert code == 0
    incar = dict(
        line.split(" = ") for line in (tmp_path / "inputs" / "INCAR").read_text().splitlines()
    )
    assert incar["METAGGA"].upper() == "R2SCAN"
    assert (incar["BPARAM"], incar["CPARAM"], incar["LUSE_VDW"]) == ("11.95", "0.0093", "True")
    assert (float(incar["ENCUT"]), float(incar["EDIFF"]), float(incar["SIGMA"])) == (
        600,
        1e-6,
        0.05,
    )
    assert (incar["ISMEAR"], incar["NSW"], incar["ISIF"]) == ("0", "0", "2")
    assert not {"GGA", "IVDW", "MAGMOM"} & set(incar)
    assert incar.get("ISPIN", "1") == "1"
    assert (tmp_path / "inputs" / "KPOINTS").read_text().splitlines()[2:4] == [
        "Gamma",
        "8 8 8",
    ]  # 40 Å / 5.04 Å
    assert (tmp_path / "inputs" / "POTCAR.spec").read_text().split() == ["C"]


@pytest.mark.parametrize("template", ["silicon", "carbon", "nacl"])
def test_init_writes_a_campaign_that_checks(template, tmp_path, monkeypatch, capsys):
    code, _, _ = run(monkeypatch, capsys, "init", tmp_path / "mine", "--template", template)
    assert code == 0
    code, out, err = run(monkeypatch, capsys, "check", tmp_path / "mine" / "campaign.yaml")
    assert code == 0, err
    assert "mine" in out
    code, _, err = run(monkeypatch, capsys, "init", tmp_path / "mine", "--template", template)
    assert code == 1
    assert "exists" in err


@pytest.mark.parametrize(
    "name", ["init", "check", "submit", "run", "status", "export", "report", "database"]
)
def test_every_command_has_help_with_an_example(name, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, name, "--help")
    assert code == 0
    assert "Example:" in out
