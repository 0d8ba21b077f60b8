"""Heat maps: sums over what a table leaves out, and shades by yield."""

from fractions import Fraction

from entropy_flows.report.conditions import ConditionCount
from entropy_flows.report.heat import LEVELS, heat_maps


def count(phase, temperature, k, pressure, accepted, failed=0):
    return ConditionCount(
        phase=phase,
        temperature=temperature,
        k=k,
        pressure=pressure,
        runs=1,
        stopped=0,
        explored=10,
        accepted=accepted,
        failed_labels=failed,
    )


GRID = [
    count(phase, temperature, k, pressure, (number * 7) % 11, failed=number == 3)
    for number, (phase, temperature, k, pressure) in enumerate(
        (phase, temperature, k, pressure)
        for phase in ("diamond", "sh")
        for temperature in (300.0, 1000.0)
        for k in (2.0, 20.0)
        for pressure in (0.0, 10.0, 5.0)
    )
]


def test_each_table_has_all_that_was_explored_and_accepted():
    for table in heat_maps(GRID):
        cells = [cell for _, row in table.rows for cell in row]
        pairs = [tuple(map(int, cell.text.split("/"))) for cell in cells]
        assert sum(accepted for accepted, _ in pairs) == sum(each.accepted for each in GRID)
        assert sum(explored for _, explored in pairs) == 10 * len(GRID)
        assert sum(cell.bad for cell in cells) == 1
        assert all(len(row) == len(table.columns) for _, row in table.rows)


def test_rows_keep_the_grid_s_order_and_columns_are_sorted():
    by_temperature, by_pressure = heat_maps(GRID)
    assert [name for name, _ in by_temperature.rows][:2] == ["diamond, 300 K", "diamond, 1000 K"]
    assert by_pressure.columns == ["0 GPa", "5 GPa", "10 GPa"]


def test_shades_grow_with_the_yield():
    (table, _) = heat_maps(GRID)
    cells = [cell for _, row in table.rows for cell in row]
    ordered = sorted(cells, key=lambda cell: Fraction(cell.text))
    assert [cell.level for cell in ordered] == sorted(cell.level for cell in cells)
    assert ordered[-1].level == LEVELS


def test_nothing_explored_is_no_table():
    assert heat_maps([]) == []
    grid = [count("sh", 300.0, 2.0, None, 0), count("sh", 300.0, None, 0.0, 0)]
    assert {cell.level for table in heat_maps(grid) for _, row in table.rows for cell in row} == {0}
