"""Seventeen features, and a table of materials as Materials Project would give them."""

from dataclasses import dataclass

import numpy as np
import pytest
from cells import crystal
from pymatgen.core import Lattice, Structure

from entropy_flows.bench import LabelledPool, load_bench
from entropy_flows.bench.features import features
from entropy_flows.bench.materials_project import TARGET, fetch, write_table
from entropy_flows.bench.table import read_table


@dataclass
class Document:
    """As mp-api has them."""

    material_id: str
    structure: Structure | None
    formation_energy_per_atom: float | None
    band_gap: float | None = 0.0


def rock_salt(a, b, edge=4.2):
    return crystal("Fm-3m", Lattice.cubic(edge), [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_seventeen_features_from_their_definitions():
    found = features(rock_salt("Mg", "O"))
    assert len(found) == 17
    assert found["mean_number"] == 10
    assert found["std_number"] == 2
    assert found["mixing_entropy"] == pytest.approx(np.log(2))
    assert found["mean_electronegativity"] == pytest.approx((1.31 + 3.44) / 2)
    assert found["range_electronegativity"] == pytest.approx(3.44 - 1.31)
    assert found["volume_per_atom"] == pytest.approx(4.2**3 / 8)
    assert found["density"] == pytest.approx(4 * 40.304 / 6.02214e23 / (4.2e-8) ** 3, rel=1e-3)
    larger = rock_salt("Mg", "O")
    larger.make_supercell(2)
    assert features(larger) == pytest.approx(found)
    with pytest.raises(ValueError, match="Ne has X"):
        features(rock_salt("Mg", "Ne"))


def test_a_table_of_documents_is_a_pool(tmp_path):
    metals = ("Mg", "Ca", "Sr", "Ba", "Ti", "V", "Mn", "Fe", "Co", "Ni")
    documents = [
        Document(f"mp-{k}", rock_salt(metal, "O", 4 + 0.1 * k), -2.0 - 0.1 * k)
        for k, metal in enumerate(metals)
    ]
    documents += [Document("mp-77", None, 0.1), Document("mp-78", documents[0].structure, None)]
    assert write_table(documents, tmp_path / "mp.csv") == 10
    columns = read_table(tmp_path / "mp.csv")
    assert len([name for name in columns if name not in ("name", TARGET)]) == 17
    pool = LabelledPool.of(load_bench(tmp_path / "mp.csv", {"target": TARGET, "sizes": [4]}))
    assert pool.prints[0].shape == (1, 17)
    np.testing.assert_allclose(np.sort(pool.targets), np.sort(-2.0 - 0.1 * np.arange(10)))
    with pytest.raises(ValueError, match="no material with formation energy and band gap"):
        write_table(documents[-2:], tmp_path / "none.csv")


def test_without_mp_api_it_says_what_to_install():
    try:
        import mp_api  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match="mp:Ti-O needs mp-api: pip install mp-api"):
            fetch("Ti-O")
