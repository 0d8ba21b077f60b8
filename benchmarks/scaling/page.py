"""The live page of a campaign of many cells: how soon it is there, and what the database feels."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from pathlib import Path
from urllib.request import urlopen

from benchmarks.report import Section, Table
from benchmarks.scaling.bench import DESCRIPTION
from benchmarks.scaling.commands import COMMAND, cost, write_campaign, write_frames
from benchmarks.timing import Options
from entropy_flows.store import connect

FRAMES = 10_000
QUICK_FRAMES = 500
CAMPAIGNS = 100
VIEWERS = 20
LOOKING = 30.0
"""Time that the viewers look (s)."""
TEXT = f"""\
`entropy-flows serve --database` over {CAMPAIGNS} campaigns, of which one has {FRAMES} labelled
cells ({QUICK_FRAMES} with --quick). Each of {VIEWERS} viewers asks for the page every 3 s, as an
open page does, for {LOOKING:.0f} s; then one asks as fast as it is answered. The database's
commands are those that it counts itself."""


def run(options: Options, folder: Path) -> Section:
    """Fill a database, serve it, and look."""
    frames = QUICK_FRAMES if options.quick else FRAMES
    campaign = write_campaign(folder)
    write_frames(folder / "frames.extxyz", frames)
    options.say("page: import")
    cost(["import", campaign, folder / "frames.extxyz", "--settings-as-engine"], folder)
    copy_campaigns()
    table = Table(f"{frames} cells, {CAMPAIGNS} campaigns", ["quantity", "value"])
    process = subprocess.Popen(
        [*COMMAND, "serve", "--database", "--port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None, "it was asked for"
        address = re.sub(r"page: ", "", process.stdout.readline().strip())
        table.rows += [list(row) for row in measured(options, address, process.pid).items()]
    finally:
        process.terminate()
        process.wait()
    return Section("The live page", TEXT.replace("\n", " "), [table], [])


def copy_campaigns() -> None:
    """Register further campaigns, without cells."""
    database = connect()
    first = database["campaigns"].find_one({"name": DESCRIPTION["name"]})
    assert first is not None, "it was just imported"
    del first["_id"]
    database["campaigns"].insert_many(
        [{**first, "name": f"copy-{number}"} for number in range(CAMPAIGNS - 1)]
    )


def measured(options: Options, address: str, pid: int) -> dict[str, float]:
    """Ask for pages and return what that took, by name of the quantity."""
    page = f"{address}campaign/{DESCRIPTION['name']}"
    rows = {}
    options.say("page: first answers")
    rows["list of campaigns, s"] = seconds(address)
    rows["page of the campaign, first time, s"] = seconds(page)
    rows["map of its cells, first time, s"] = seconds(f"{page}/map")
    rows["map again, s"] = seconds(f"{page}/map")
    rows["map, MiB"] = len(urlopen(f"{page}/map").read()) / 2**20
    options.say(f"page: {VIEWERS} viewers")
    before = commands()
    began = time.perf_counter()
    viewers = [threading.Thread(target=look, args=(page, began + LOOKING)) for _ in range(VIEWERS)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    taken = time.perf_counter() - began
    rows[f"commands a second with {VIEWERS} viewers"] = (commands() - before) / taken
    began = time.perf_counter()
    answers = 0
    while time.perf_counter() - began < 5.0:
        urlopen(page).read()
        answers += 1
    rows["answers a second to one"] = answers / 5.0
    status = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    rows["largest resident set, MiB"] = int(peak[1]) / 1024 if peak else float("nan")
    return rows


def look(address: str, until: float) -> None:
    """Ask for a page every three seconds."""
    while time.perf_counter() < until:
        urlopen(address).read()
        time.sleep(3.0)


def seconds(address: str) -> float:
    """Return the time until an answer is there (s)."""
    began = time.perf_counter()
    urlopen(address).read()
    return time.perf_counter() - began


def commands() -> int:
    """Return how many commands the database has been given."""
    counters = connect().client.admin.command("serverStatus")["opcounters"]
    return sum(value for value in counters.values() if isinstance(value, int))
