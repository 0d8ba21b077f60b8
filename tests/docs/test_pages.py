"""Pages agree with the package: links lead somewhere, the glossary has every name, code runs."""

import re
import shlex
import sys

import pytest
import yaml
from ase.build import bulk
from ase.io import read, write
from page_blocks import ROOT, blocks

from entropy_flows.cli import main
from entropy_flows.schemas import Campaign
from entropy_flows.schemas.stages import Stage
from entropy_flows.store.schema import UNIQUE

PAGES = sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\]\((?!https?:)([^)\s#]+)?(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page):
    """Anchors of a page's headings, as Markdown's toc extension makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    words = (re.sub(r"[`*]|\([^)]*\)", "", title).lower() for title in HEADING.findall(text))
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip()) for title in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_links_lead_to_pages_and_headings(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for path, anchor in LINK.findall(text):
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {path}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {path}#{anchor}"


def test_links_of_the_readme_lead_to_files():
    for path, anchor in LINK.findall((ROOT / "README.md").read_text()):
        assert not path or (ROOT / path).exists(), path
        if anchor and path.endswith(".md"):
            assert anchor in anchors(ROOT / path), f"{path}#{anchor}"


def test_the_picture_of_the_loop_is_one():
    assert (ROOT / "docs" / "loop.md").read_text() in (ROOT / "README.md").read_text()


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES:
        name = page.relative_to(ROOT / "docs").as_posix()
        assert f"{name}\n" in text, f"{name} is neither in `nav` nor in `exclude_docs`"


def test_the_glossary_has_stages_and_collections():
    text = (ROOT / "docs" / "glossary.md").read_text()
    for name in [*Stage, *UNIQUE]:
        assert f"`{name}`" in text, name


def test_the_page_on_the_campaign_file_has_every_section():
    text = (ROOT / "docs" / "campaign.md").read_text()
    for name in Campaign.model_fields:
        assert f"`{name}`" in text, name


def test_the_choice_among_frames(tmp_path, monkeypatch, capsys):
    """The command of the page and its program choose the same frames."""
    frames = []
    for seed in range(40):
        cell = bulk("Si", cubic=True)
        cell.rattle(0.02 + 0.01 * seed, seed=seed)
        frames.append(cell)
    (tmp_path / "md").mkdir()
    write(tmp_path / "md" / "hot.extxyz", frames)
    write(tmp_path / "train.extxyz", frames[:5])
    monkeypatch.chdir(tmp_path)
    page = blocks("howto/frames.md")
    (program,) = [block for block in page if block.title]
    exec(program.text, {})
    assert "chosen: 20 of 40" in capsys.readouterr().out
    command = next(block.text for block in page if block.language == "bash")
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "20 of 40 frames chosen" in capsys.readouterr().out
    by_command = read("picked.extxyz", ":")
    by_program = read("picked_by_python.extxyz", ":")
    assert len(by_command) == 20
    assert [a.info for a in by_command] == [b.info for b in by_program]


def test_the_watched_run(tmp_path, monkeypatch, capsys):
    cells = []
    for seed in range(8):
        cell = bulk("Cu", cubic=True) * 2
        cell.rattle(0.05, seed=seed)
        cells.append(cell)
    write(tmp_path / "train.extxyz", cells)
    monkeypatch.chdir(tmp_path)
    (program,) = [block for block in blocks("novelty.md") if block.title]
    exec(program.text.replace("run(200)", "run(20)"), {})
    assert re.match(r"ended at step 20 worst grade \d", capsys.readouterr().out)


def test_a_model_used_in_ase(tmp_path, monkeypatch, capsys):
    shipped = ROOT / "entropy_flows" / "models" / "si-small.nequip.zip"
    (tmp_path / "silicon-2.nequip.zip").symlink_to(shipped)
    monkeypatch.chdir(tmp_path)
    exec(next(b.text for b in blocks("use.md") if "Langevin(" in b.text), {})
    assert re.search(r"energy: -4\d\.\d{3} eV", capsys.readouterr().out)


def test_single_steps_in_python(capsys):
    program = next(b.text for b in blocks("howto/python.md") if "local_entropy" in b.text)
    exec(program, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(re.search(r"\d", line) for line in lines)


def test_the_makers_of_a_campaign_in_python(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(next(b.text for b in blocks("howto/python.md") if "silicon_demo" in b.text), {})
    assert capsys.readouterr().out.splitlines()[0] == "(300.0, 1500.0)"


def test_a_plain_flow_in_python(capsys):
    exec(next(b.text for b in blocks("howto/python.md") if "loop.make(" in b.text), {})
    assert capsys.readouterr().out == "['register']\n"


def test_the_citation_file_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert citation["version"] == version[1]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
