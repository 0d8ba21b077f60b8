"""The notebook of the examples runs from its first cell to its last, and shows tables."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "campaign.ipynb"


def code_cells():
    notebook = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown(code, names):
    """Run a cell as a kernel does; what its last line shows."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    exec(compile(tree, str(NOTEBOOK), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def test_cells_without_a_database_show_what_they_made(monkeypatch):
    monkeypatch.chdir(NOTEBOOK.parent)
    names = {}
    *cells, last = code_cells()
    pages = [shown(code, names)._repr_html_() for code in cells]
    titles = ["Campaign silicon-demo", "Trajectory of fcc", "SufficientStatistics of", "Variance"]
    for title, page in zip(titles, pages, strict=True):
        assert title in page
    assert 0 < len(names["accepted"]) < len(names["prints"])
    assert "open_session" in last


def test_the_repository_has_no_output_of_it():
    notebook = json.loads(NOTEBOOK.read_text())
    assert not [cell for cell in notebook["cells"] if cell.get("outputs")]


@pytest.mark.slow
def test_a_kernel_runs_it(monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient and ipykernel: the extra dev")
    pytest.importorskip("ipykernel", reason="nbclient and ipykernel: the extra dev")
    pytest.importorskip("secantus")
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    folder = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=240, resources=folder).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pages = [
        output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})
    ]
    assert len(pages) == 5
    assert "silicon-demo is running" in pages[-1]
    assert "nobody is working on this" in pages[-1]
