"""The launcher files are what FireWorks and jobflow read, and `check` finds what is wrong with
them.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from commands import run as command
from fireworks import Firework, FWorker, ScriptTask, Workflow
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
from launchpads import new_launchpad

from entropy_flows.label import LabelParams
from entropy_flows.launch.launcher_readers import LauncherReport
from entropy_flows.launch.launchers import Cluster, Queue, launcher_files, write_launchers
from entropy_flows.launch.launchers_check import check_launchers
from entropy_flows.launch.walltime import clock, seconds
from entropy_flows.schemas import Campaign, load_campaign
from entropy_flows.schemas.stages import CATEGORIES
from entropy_flows.store import CampaignStore

ROOT = Path(__file__).parents[2]
SETUP = "source /path/to/entropy_flows/.venv/bin/activate"
COMMAND = f"entropy-flows launchers /path/to/launchers --setup '{SETUP}'"
BIN = Path(sys.executable).parent
SHORT = {"dft": Queue("dft", "00:20:00", ntasks=32), "cpu": Queue("cpu", "1-00:00:00")}


@pytest.fixture
def campaign() -> Campaign:
    return load_campaign(ROOT / "examples" / "silicon_demo.yaml")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Launchers for SLURM, of whose FireWorks settings the shell knows, in a home that has none."""
    write_launchers(Cluster(setup=(f"export PATH={BIN}:$PATH",)), tmp_path / "launchers", "here")
    monkeypatch.setenv("FW_CONFIG_FILE", str(tmp_path / "launchers" / "FW_config.yaml"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "launchers"


@pytest.fixture
def submitted(database, campaign) -> None:
    """The campaign is registered, its indexes are there."""
    CampaignStore(database, campaign.name).create(campaign)
    new_launchpad()


def change(path: Path, before: str, after: str) -> None:
    """Edit a file as a user would; `before` is a pattern that occurs once."""
    text, count = re.subn(before, lambda _: after, path.read_text())
    assert count == 1, f"{before} occurs {count} times in {path.name}"
    path.write_text(text)


def script(path: Path) -> str:
    """The batch script that FireWorks makes of a queue file."""
    return CommonAdapter.from_dict(yaml.safe_load(path.read_text())).get_script_str(
        "/launch/folder"
    )


# -- what is written
# ------------------------------------------------------------------------------------------


def test_the_repository_holds_what_the_command_writes():
    expected = launcher_files(Cluster(setup=(SETUP,)), Path("/path/to/launchers"), COMMAND)
    found = {path.name: path.read_text() for path in (ROOT / "launchers").iterdir()}
    assert found == expected


@pytest.mark.parametrize("category", sorted({*CATEGORIES.values(), "cpu"}))
def test_every_category_has_a_worker_and_two_queues(folder, category):
    assert FWorker.from_file(str(folder / f"my_fworker_{category}.yaml")).category == category
    one, many = (script(folder / f"my_qadapter_{category}{kind}.yaml") for kind in ("", "_pull"))
    for text in (one, many):
        assert f"#SBATCH --partition={category}\n" in text
        assert "#SBATCH --signal=B:TERM@120\n" in text
        assert ("#SBATCH --gres=gpu:1\n" in text) == (category == "gpu")
        assert f"export ENTROPY_FLOWS_DEVICE={'cuda' if category == 'gpu' else 'cpu'}\n" in text
        assert "OMP_NUM_THREADS=1 " in text
        (launch,) = re.findall(r"^exec rlaunch .*$", text, re.MULTILINE)
        assert f"-w {folder}/my_fworker_{category}.yaml " in launch
        assert text.index(launch) > text.index("cd /launch/folder")
    assert "singleshot" in one
    assert "rapidfire --timeout" in many


def test_what_is_given_arrives_in_the_scripts(tmp_path):
    cluster = Cluster(
        gpu=Queue("a100", "2-00:00:00", gres="gpu:a100:2", device="cuda"),
        account="0123",
        modules=("cuda/12", "gcc"),
        lead=300,
        longest="00:10:00",
        **SHORT,
    )
    write_launchers(cluster, tmp_path, "here")
    text = script(tmp_path / "my_qadapter_gpu.yaml")
    for line in (
        "--time=48:00:00",
        "--gres=gpu:a100:2",
        "--account=0123",
        "--signal=B:TERM@300",
        "--partition=a100",
    ):
        assert f"#SBATCH {line}\n" in text
    assert text.index("module load cuda/12\nmodule load gcc\n") < text.index("exec rlaunch")
    assert "#SBATCH --ntasks=32\n" in script(tmp_path / "my_qadapter_dft.yaml")
    assert f"--timeout {48 * 3600 - 300 - 600} " in script(tmp_path / "my_qadapter_gpu_pull.yaml")


def test_modules_of_a_category_are_loaded_in_its_jobs_alone(tmp_path, monkeypatch, capsys):
    options = [
        "--module",
        "gcc",
        "--module-gpu",
        "cuda/12",
        "--module-dft",
        "intel",
        "--module-dft",
        "vasp/6",
    ]
    assert command(monkeypatch, capsys, "launchers", tmp_path / "here", *options)[0] == 0
    loaded = {
        category: re.findall(
            "module load (.*)", script(tmp_path / "here" / f"my_qadapter_{category}.yaml")
        )
        for category in ("gpu", "dft", "cpu")
    }
    assert loaded == {"gpu": ["gcc", "cuda/12"], "dft": ["gcc", "intel", "vasp/6"], "cpu": ["gcc"]}


def test_the_readme_gives_vasp_its_ranks_and_each_category_its_modules(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (line,) = re.findall(
        r"^entropy-flows (launchers (?:.*\\\n)*.*)$",
        (ROOT / "docs" / "howto" / "cluster.md").read_text(),
        re.MULTILINE,
    )
    assert command(monkeypatch, capsys, *shlex.split(line.replace("\\\n", " ")))[0] == 0
    dft, gpu = (
        script(tmp_path / "launchers-here" / f"my_qadapter_{category}.yaml")
        for category in ("dft", "gpu")
    )
    assert "#SBATCH --ntasks=64\n" in dft
    assert re.findall("module load (.*)/", dft) == ["vasp"]
    assert re.findall("module load (.*)/", gpu) == ["cuda"]


def test_the_commands_of_the_readme_need_no_exports(folder):
    """Each loop brings FW_CONFIG_FILE, without which the host of my_launchpad.yaml is not known."""
    loops = [
        line for line in (folder / "README.md").read_text().splitlines() if "nohup qlaunch" in line
    ]
    assert len(loops) == 4
    assert all(
        line.strip().startswith(f"FW_CONFIG_FILE={folder}/FW_config.yaml nohup qlaunch ")
        for line in loops
    )


def test_resources_by_category_arrive_in_the_scripts(tmp_path, monkeypatch, capsys):
    options = [
        *("--mem", "8G", "--mem", "dft=250G", "--qos", "gpu=long", "--constraint", "zen4"),
        *("--nodes-dft", "2", "--ntasks-dft", "128", "--gres-dft", "gpu:4"),
        *("--walltime-cpu", "08:00:00"),
    ]
    code, _, err = command(monkeypatch, capsys, "launchers", tmp_path / "here", *options)
    assert code == 0, err
    lines = {
        category: script(tmp_path / "here" / f"my_qadapter_{category}{kind}.yaml").splitlines()
        for kind in ("", "_pull")
        for category in ("gpu", "dft", "cpu")
    }
    expected = {
        "gpu": ["mem=8G", "qos=long", "constraint=zen4", "nodes=1", "gres=gpu:1"],
        "dft": ["mem=250G", "constraint=zen4", "nodes=2", "ntasks=128", "gres=gpu:4"],
        "cpu": ["mem=8G", "constraint=zen4", "nodes=1", "ntasks=1", "time=08:00:00"],
    }
    for category, values in expected.items():
        assert {f"#SBATCH --{value}" for value in values} <= set(lines[category])
        has_qos = any("--qos" in line for line in lines[category])
        assert has_qos == (category == "gpu")
    assert not any("--gres" in line for line in lines["cpu"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mem", "dtf=8G"), "--mem dtf=8G: expected VALUE, or gpu=VALUE, dft=VALUE, cpu=VALUE"),
        (("--qos", "a", "--qos", "b"), "--qos b: a was given for the same jobs"),
        (("--mem", "dft=lots"), "mem 'lots' of dft: expected such as 250G or 8000M"),
        (("--scheduler", "pbs", "--qos", "long"), "qos 'long' of gpu: PBS has none"),
        (
            ("--nodes-dft", "3", "--ntasks-dft", "64"),
            "ntasks 64 of dft: expected a multiple of its 3 nodes",
        ),
        (("--nodes-dft", "0"), "nodes 0 of dft: expected 1 or more"),
        (("--constraint", "a b"), "constraint 'a b' of gpu: expected one word"),
    ],
)
def test_resources_that_make_no_sense(tmp_path, monkeypatch, capsys, options, message):
    code, _, err = command(monkeypatch, capsys, "launchers", tmp_path / "here", *options)
    assert code == 1
    assert message in err
    assert not (tmp_path / "here").exists()


def test_the_short_jobs_are_taken_without_a_queue(folder, database, tmp_path):
    """The script of the README between jobs of other workers, until it is told to end."""
    pad = new_launchpad()
    jobs: list[Firework] = []
    for number, category in enumerate(["cpu", "gpu", "cpu", "cpu"]):
        task = ScriptTask.from_str("true")
        spec = {"_category": category}
        jobs.append(Firework(task, spec=spec, name=str(number), parents=jobs[-1:]))
    pad.add_wf(Workflow(jobs))
    worker = folder / "cpu_worker.sh"
    assert os.access(worker, os.X_OK)
    change(worker, "--sleep 30", "--sleep 1")
    launches = tmp_path / "launches"
    launches.mkdir()
    with subprocess.Popen([worker], cwd=launches, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith(f"cpu worker {process.pid} on ")
            wait_for(pad, "0")
            files = ("-l", folder / "my_launchpad.yaml", "-w", folder / "my_fworker_gpu.yaml")
            run("rlaunch", *files, "singleshot", folder=folder, cwd=tmp_path)
            wait_for(pad, "3")
        finally:
            process.terminate()
            output = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "Rocket finished" in output
    of_worker = pad.launches.distinct("fw_id", {"fworker.name": "cpu worker"})
    assert len(of_worker) == 3


def wait_for(pad, name: str) -> None:
    """Wait until the job of this name is done by somebody."""
    for _ in range(1200):
        if pad.fireworks.find_one({"name": name})["state"] == "COMPLETED":
            return
        time.sleep(0.1)
    raise AssertionError(f"job {name} is {pad.fireworks.find_one({'name': name})['state']}")


def test_pbs_script_has_its_resources_and_its_sigterm(tmp_path):
    cluster = Cluster(scheduler="pbs", **SHORT)
    write_launchers(cluster, tmp_path, "here")
    text = script(tmp_path / "my_qadapter_gpu.yaml")
    for line in ("-l select=1:ncpus=1:mpiprocs=1:ngpus=1", "-l walltime=24:00:00", "-q gpu"):
        assert f"#PBS {line}\n" in text
    assert "-A" not in text
    assert "-V" not in text
    assert f"exec timeout --foreground --signal=TERM {86400 - 120} rlaunch" in text
    assert "select=1:ncpus=32:mpiprocs=32\n" in script(tmp_path / "my_qadapter_dft.yaml")
    wide = Queue("dft", nodes=2, ntasks=64, cpus_per_task=2, mem="250G", gres="gpu:4")
    write_launchers(Cluster(scheduler="pbs", dft=wide), tmp_path, "here", overwrite=True)
    expected = "select=2:ncpus=64:mpiprocs=32:mem=250gb:ngpus=4\n"
    assert expected in script(tmp_path / "my_qadapter_dft.yaml")


def test_pbs_worker_gets_sigterm_in_time_and_when_the_job_is_deleted(tmp_path):
    """The script's last line as it stands, with a worker that tells its signals."""
    worker = tmp_path / "rlaunch"
    # up is told late: timeout passes a signal on only once its own fork has returned, and its child
    # may run before that
    trapped = "#!/bin/bash\ntrap 'echo TERM; exit 3' TERM\nsleep 0.5\necho up\n"
    worker.write_text(f"{trapped}for i in $(seq 100); do sleep 0.1; done\n")
    worker.chmod(0o755)
    cluster = Cluster(
        scheduler="pbs", lead=1, longest="00:00:01", gpu=Queue("gpu", "00:00:03"), **SHORT
    )
    write_launchers(cluster, tmp_path / "launchers", "here")
    (launch,) = re.findall(
        r"^exec timeout.*", script(tmp_path / "launchers" / "my_qadapter_gpu.yaml"), re.MULTILINE
    )
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", launch], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["up", "TERM"]
    with subprocess.Popen(
        ["bash", "-c", launch], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "TERM\n"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scheduler": "sge"}, "scheduler 'sge': expected slurm or pbs"),
        ({"gpu": Queue("gpu", "24h")}, "walltime '24h': expected HH:MM:SS"),
        ({"gpu": Queue("gpu", "00:02:00")}, "walltime 00:02:00 of gpu is too short"),
        ({"longest": "04:00:00"}, "walltime 04:00:00 of cpu is too short"),
        ({"lead": 0}, "lead 0: expected a number above 0"),
        ({"setup": ("echo $$",)}, "without [$][$]"),
        ({"modules": ("a\nb",)}, "one printable line"),
        ({"dft": Queue("dft", modules=("vasp$$",))}, "without [$][$]"),
    ],
)
def test_values_that_make_no_sense_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Cluster(**changes)


@pytest.mark.parametrize(
    "path", ["relative", "/with blank", "/with$dollar", "/with;more", '/with"quote']
)
def test_a_folder_that_a_script_would_take_apart_is_refused(path):
    with pytest.raises(ValueError, match="expected an absolute path"):
        launcher_files(Cluster(), Path(path))


def test_walltimes_read_and_written_are_the_same():
    for total in (1, 59, 60, 3599, 3600, 86400, 86399 * 7):
        assert seconds(clock(total)) == total
    assert seconds("2-03:04:05") == seconds("51:04:05")


def test_nothing_is_overwritten_unasked_and_nothing_half_written(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "my_fworker_dft.yaml").unlink()
    with pytest.raises(ValueError, match=r"has FW_config\.yaml, .*--overwrite"):
        write_launchers(Cluster(max_jobs=3), folder, "there")
    assert {path.name for path in folder.iterdir()} == set(before) - {"my_fworker_dft.yaml"}
    write_launchers(Cluster(max_jobs=3), folder, "there", overwrite=True)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after.keys() == before.keys()
    assert b"-m 3 " in after["README.md"]


# -- the database is that of the machine's settings
# --------------------------------------------------------------------


def run(*command: object, folder: Path, cwd: Path) -> str:
    """Output of a command of FireWorks, which finds the database in its environment alone."""
    environment = {
        **os.environ,
        "FW_CONFIG_FILE": str(folder / "FW_config.yaml"),
        "PATH": f"{BIN}:/usr/bin:/bin",
    }
    environment["JOBFLOW_CONFIG_FILE"] = str(folder / "jobflow.yaml")
    done = subprocess.run(
        list(map(str, command)),
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_plain_fireworks_and_jobflow_find_the_database(folder, database, tmp_path):
    pad, pad_file = new_launchpad(), ("-l", folder / "my_launchpad.yaml")
    pad.add_wf(Firework(ScriptTask.from_str("true"), spec={"_category": "gpu"}, name="one"))
    assert '"name": "one"' in run("lpad", *pad_file, "get_fws", folder=folder, cwd=tmp_path)
    worker = ("-w", folder / "my_fworker_gpu.yaml")
    run("rlaunch", *pad_file, *worker, "singleshot", folder=folder, cwd=tmp_path)
    assert pad.fireworks.find_one({"name": "one"})["state"] == "COMPLETED"
    uri = os.environ["ENTROPY_FLOWS_URI"].removeprefix("mongodb://").strip("/")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tmp_path / "FW.json" in files
    assert not [path for path in files if uri in path.read_text(errors="replace")]


def test_neither_launchpad_nor_jobflow_tell_the_uri(folder, database):
    """The launchpad is written out in some of FireWorks' ways to run jobs."""
    code = (
        "from fireworks import LaunchPad; pad = "
        f"LaunchPad.from_file('{folder}/my_launchpad.yaml')\n"
        "print(pad.to_dict())\n"
        "print(pad.db.name, pad.db.write_concern.document)\n"
        "from jobflow import SETTINGS as s; s.JOB_STORE.connect(); "
        "s.JOB_STORE.update({'uuid': 'a', 'index': 1})"
    )
    written, used = run(sys.executable, "-c", code, folder=folder, cwd=folder).strip().splitlines()
    assert "mongodb" not in written
    assert used == f"{database.name} {{'j': True, 'w': 'majority'}}"
    assert database["outputs"].find_one({"uuid": "a"})["index"] == 1


def test_queue_launch_reserves_and_submits(folder, database, tmp_path):
    """With an sbatch that only takes the script; a real one is in tests/slurm."""
    pad = new_launchpad()
    pad.add_wf(Firework(ScriptTask.from_str("true"), spec={"_category": "gpu"}, name="one"))
    pad.add_wf(Firework(ScriptTask.from_str("true"), spec={"_category": "dft"}, name="other"))
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho Submitted batch job 77\n")
    (tmp_path / "sbatch").chmod(0o755)
    change(
        folder / "my_qadapter_gpu.yaml",
        "logdir: null",
        f"_q_commands_override: {{submit_cmd: {tmp_path}/sbatch}}",
    )
    files = [
        f"-{option}={folder}/my_{name}.yaml"
        for option, name in (("l", "launchpad"), ("w", "fworker_gpu"), ("q", "qadapter_gpu"))
    ]
    run(
        "qlaunch",
        "-r",
        *" ".join(files).replace("=", " ").split(),
        "singleshot",
        folder=folder,
        cwd=tmp_path,
    )
    states = {fw["name"]: fw["state"] for fw in pad.fireworks.find({}, {"name": 1, "state": 1})}
    assert states == {"one": "RESERVED", "other": "READY"}
    assert pad.launches.find_one()["state_history"][0]["reservation_id"] == "77"
    assert "singleshot --fw_id" in (tmp_path / "FW_submit.script").read_text()


# -- what `check` finds
# ------------------------------------------------------------------------------------------


def problems(folder: Path, campaign: Campaign) -> list[str]:
    return check_launchers(folder, campaign).errors


def test_what_was_written_is_in_order(folder, campaign, submitted):
    found = check_launchers(folder, campaign)
    assert found.errors == []
    assert [line for line in found.warnings if "sbatch" not in line] == []


def test_a_campaign_that_was_not_submitted_is_only_a_warning(folder, campaign, database):
    found = check_launchers(folder, campaign)
    assert found.errors == []
    assert (
        f"campaign {campaign.name!r} is not in the database yet: entropy-flows submit"
        in found.warnings
    )


def test_pbs_files_are_in_order(tmp_path, campaign, submitted):
    write_launchers(Cluster(scheduler="pbs"), tmp_path / "launchers", "here")
    assert problems(tmp_path / "launchers", campaign) == []


@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        (
            "my_qadapter_gpu.yaml",
            "-w \\S+",
            "",
            "my_qadapter_gpu.yaml: rocket_launch names no worker file",
        ),
        (
            "my_qadapter_gpu_pull.yaml",
            "my_fworker_gpu",
            "my_fworker_cpu",
            "my_qadapter_gpu_pull.yaml: rocket_launch starts a worker of "
            ".*/my_fworker_cpu.yaml, expected",
        ),
        (
            "my_qadapter_cpu.yaml",
            "my_launchpad.yaml",
            "mine.yaml",
            "mine.yaml in rocket_launch does not exist",
        ),
        (
            "my_fworker_gpu.yaml",
            "category: gpu\n",
            "category: cpu\n",
            "my_fworker_gpu.yaml: category 'cpu', expected",
        ),
        (
            "my_qadapter_dft.yaml",
            "signal: .*",
            "",
            "my_qadapter_dft.yaml: no SIGTERM before the walltime",
        ),
        (
            "my_qadapter_dft.yaml",
            "'24:00:00'",
            "'00:05:00'",
            "walltime 00:05:00 is less than RUN_EXPIRATION_SECS",
        ),
        (
            "my_qadapter_dft.yaml",
            "'24:00:00'",
            "a day",
            "my_qadapter_dft.yaml: walltime 'a day': expected HH:MM:SS",
        ),
        (
            "my_qadapter_dft_pull.yaml",
            "'24:00:00'",
            "'01:00:00'",
            "--timeout 71880 s is not less than the walltime",
        ),
        (
            "my_qadapter_dft_pull.yaml",
            "--timeout \\d+",
            "",
            "no `rapidfire --timeout` in rocket_launch",
        ),
        (
            "FW_config.yaml",
            "RUN_EXPIRATION_SECS: \\d+",
            "RUN_EXPIRATION_SECS: 100",
            "less than 3 × PING_TIME_SECS 60",
        ),
        ("FW_config.yaml", "SORT_FWS: FIFO", "SORT: FIFO", "FireWorks does not know SORT$"),
        (
            "FW_config.yaml",
            '"@callable": \\w+',
            '"@callable": Typo',
            "FW_config.yaml: MongoClient is .*expected Conf",
        ),
        (
            "my_launchpad.yaml",
            "host: .*",
            "host: mongodb://elsewhere/",
            "host without journal=true",
        ),
        (
            "my_launchpad.yaml",
            "host: .*",
            "host: mongodb://me:secret@there/",
            "my_launchpad.yaml holds credentials",
        ),
        (
            "my_launchpad.yaml",
            "uri_mode: true",
            "uri_mode: true\npassword: nosecret",
            "my_launchpad.yaml holds cred",
        ),
        (
            "my_launchpad.yaml",
            "name: .*",
            "name: other",
            "database 'other', but 'test_.*' is configured",
        ),
        ("my_launchpad.yaml", "host: .*", "host: [", "my_launchpad.yaml cannot be read: "),
        ("jobflow.yaml", "ConfiguredJobStore", "Typo", "jobflow.yaml cannot be read: "),
    ],
)
def test_an_edited_file_is_named(folder, campaign, submitted, name, before, after, words):
    change(folder / name, before, after)
    found = problems(folder, campaign)
    assert [line for line in found if re.search(words, line)], found
    assert all(str(folder) in line for line in found)
    assert not any("secret" in line for line in found)


@pytest.mark.parametrize(
    "name", ["my_qadapter_gpu.yaml", "my_fworker_dft.yaml", "FW_config.yaml", "my_launchpad.yaml"]
)
def test_a_missing_file_is_named(folder, campaign, submitted, name):
    (folder / name).unlink()
    assert any(f"{folder / name} is missing" in line for line in problems(folder, campaign))


def test_credentials_in_a_private_file_are_a_warning(folder, campaign, submitted):
    note = folder / "notes"
    note.write_text("mongodb://me:secret@host/")
    note.chmod(0o600)
    found = check_launchers(folder, campaign)
    assert found.errors == []
    assert any("notes holds credentials" in line for line in found.warnings)
    note.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP)
    assert any("notes holds credentials" in line for line in problems(folder, campaign))


def test_a_category_of_the_users_own_needs_its_files(folder, campaign, submitted):
    own = campaign.model_copy(
        update={"categories": {"train": "bigmem"}, "queue": {"train": {"walltime": "1h"}}}
    )
    found = problems(folder, own)
    (line,) = [line for line in found if "bigmem" in line]
    assert (
        "has no my_fworker_bigmem.yaml and my_qadapter_bigmem.yaml: copy "
        "my_fworker_gpu.yaml to the first" in line
    )
    assert "`entropy-flows launchers`" not in line
    assert any("queue of stage train: walltime '1h'" in line for line in found)
    block = next(
        b
        for b in re.findall(r"```bash\n(.*?)```", (folder / "README.md").read_text(), re.S)
        if "big_gpu" in b
    )
    subprocess.run(["bash", "-e", "-c", block.replace("big_gpu", "bigmem")], check=True)
    assert FWorker.from_file(str(folder / "my_fworker_bigmem.yaml")).category == "bigmem"
    assert (
        problems(folder, own.model_copy(update={"queue": {"train": {"walltime": "01:00:00"}}}))
        == []
    )
    (folder / "my_qadapter_bigmem.yaml").unlink()
    assert any("copy my_fworker_gpu.yaml" in line for line in problems(folder, own))


def test_a_missing_index_is_named(folder, campaign, submitted, database):
    database["labels"].drop_indexes()
    assert any(
        "indexes missing in the database: labels ('structure_id', 'engine_hash')" in line
        for line in problems(folder, campaign)
    )


def test_another_config_that_fireworks_would_take_is_named(
    folder, campaign, submitted, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FW_config.yaml").write_text("SORT_FWS: FILO\n")
    assert any(
        f"{tmp_path}/FW_config.yaml is taken instead" in line for line in problems(folder, campaign)
    )


def test_a_config_of_the_home_may_have_the_lines_of_ours(
    folder, campaign, submitted, tmp_path, monkeypatch
):
    home = tmp_path / "home" / ".fireworks" / "FW_config.yaml"
    home.parent.mkdir(parents=True)
    home.write_text("QUEUE_UPDATE_INTERVAL: 1\nSORT_FWS: FILO\n")
    (line,) = problems(folder, campaign)
    assert line.startswith(
        f"{home} is taken instead of {folder}/FW_config.yaml; move it away, or copy MongoClient, "
    )
    assert line.endswith("RESERVATION_EXPIRATION_SECS, RAPIDFIRE_SLEEP_SECS, SORT_FWS into it")
    home.write_text((folder / "FW_config.yaml").read_text() + "PW_CHECK_NUM: 3\n")
    monkeypatch.delenv("FW_CONFIG_FILE")
    found = check_launchers(folder, campaign)
    assert found.errors == []
    assert not any("FW_CONFIG_FILE" in line for line in found.warnings)
    file = f"{folder}/my_launchpad.yaml"
    code = f"from fireworks import LaunchPad; print(LaunchPad.from_file('{file}').db.name)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == os.environ["ENTROPY_FLOWS_DATABASE"]


@pytest.mark.parametrize("value", [None, "/elsewhere/FW_config.yaml"])
def test_a_shell_that_does_not_know_the_config_is_a_warning(
    folder, campaign, submitted, monkeypatch, value
):
    monkeypatch.delenv("FW_CONFIG_FILE")
    if value:
        monkeypatch.setenv("FW_CONFIG_FILE", value)
    found = check_launchers(folder, campaign)
    assert found.errors == []
    (line,) = [line for line in found.warnings if "FW_CONFIG_FILE" in line]
    assert line.startswith(
        f"FW_CONFIG_FILE is {value or 'not set'} in this shell; qlaunch and lpad need {folder}/FW"
    )


def vasp_lines(folder: Path, campaign: Campaign, **changes) -> list[str]:
    changed = campaign.model_copy(update={"label": LabelParams(engine="vasp-pbe"), **changes})
    return [
        line for line in check_launchers(folder, changed).warnings if re.search("task|POTCAR", line)
    ]


def test_vasp_on_one_core_without_srun_and_potcars_is_told(
    folder, campaign, submitted, monkeypatch, tmp_path
):
    import atomate2
    import pymatgen.io.vasp.inputs as inputs

    monkeypatch.delitem(inputs.SETTINGS, "PMG_VASP_PSP_DIR", raising=False)
    monkeypatch.setattr(atomate2.SETTINGS, "VASP_CMD", "vasp_std")
    serial, command_line, potcars = vasp_lines(folder, campaign)
    assert serial.startswith(
        f"{folder}/my_qadapter_dft.yaml: one task, so VASP would run on one core; set ntasks"
    )
    assert command_line.startswith(
        "VASP's command is 'vasp_std': one task, however many the queue job has"
    )
    assert potcars == "no POTCARs: PMG_VASP_PSP_DIR is not set here; write it to ~/.pmgrc.yaml"
    assert not [
        line for line in check_launchers(folder, campaign).warnings if "VASP" in line
    ]  # a force field labels

    monkeypatch.setitem(inputs.SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(atomate2.SETTINGS, "VASP_CMD", "srun vasp_std")
    (potcars,) = vasp_lines(folder, campaign, queue={"label": {"ntasks": 64}})
    assert potcars.startswith(f"no POTCARs: PMG_VASP_PSP_DIR {tmp_path}/none is not a folder")
    monkeypatch.setitem(inputs.SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    change(folder / "my_qadapter_dft.yaml", "ntasks: 1", "ntasks: 32")
    assert vasp_lines(folder, campaign) == []
    write_launchers(Cluster(scheduler="pbs"), folder, "here", overwrite=True)
    assert len(vasp_lines(folder, campaign)) == 1
    write_launchers(Cluster(scheduler="pbs", **SHORT), folder, "here", overwrite=True)
    assert vasp_lines(folder, campaign) == []


def test_a_change_that_the_script_has_no_place_for_is_named(folder, campaign, submitted):
    own = campaign.model_copy(update={"queue": {"train": {"mem": "64G", "select": "1:ncpus=2"}}})
    (line,) = problems(folder, own)
    assert re.fullmatch(r"queue of stage train: select not in .*/SLURM_template\.txt", line)


def test_a_database_that_cannot_be_had_is_told_once(folder, campaign, monkeypatch):
    from entropy_flows.settings import settings

    for uri in (None, "mongodb://me:secret@nowhere:port/"):
        settings.cache_clear()
        if uri:
            monkeypatch.setenv("ENTROPY_FLOWS_URI", uri)
        (line,) = problems(folder, campaign)
        assert (
            "no database is configured" in line
            if uri is None
            else "not a usable MongoDB URI" in line
        )
        assert "secret" not in line
    settings.cache_clear()


def test_report_of_a_folder_that_is_not_there(tmp_path, campaign):
    found = check_launchers(tmp_path / "none", campaign)
    assert isinstance(found, LauncherReport)
    assert found.errors == [
        f"{tmp_path}/none is not a folder; `entropy-flows launchers {tmp_path}/none` makes it"
    ]
