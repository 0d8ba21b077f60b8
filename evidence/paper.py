"""Figures of Wang 2026 (arXiv 2605.20384, Tables 1 to 5), for N = 800 and three seeds."""

HEAD = ["test, pool", "energy MAE, meV/atom", "force MAE, meV/Å", "stress MAE, GPa"]
PAPER = {
    "silicon": {
        "engine": "PBE",
        "rows": [
            HEAD,
            ["in-distribution, entropy", "1.32 ± 0.08", "20.0 ± 0.2", "0.33 ± 0.01"],
            ["in-distribution, random", "3.81 ± 0.29", "22.5 ± 0.2", "0.56 ± 0.01"],
            ["independent, entropy", "1.80 ± 0.06", "34.2 ± 0.2", "0.20 ± 0.00"],
            ["independent, random", "2.52 ± 0.10", "33.1 ± 0.0", "0.28 ± 0.00"],
        ],
    },
    "nacl": {
        "engine": "PBE",
        "rows": [
            HEAD,
            ["in-distribution, entropy", "0.44 ± 0.01", "4.2 ± 0.04", "0.06 ± 0.00"],
            ["in-distribution, random", "2.59 ± 0.17", "34.7 ± 1.4", "0.19 ± 0.01"],
            ["independent, entropy", "0.70 ± 0.05", "7.6 ± 0.0", "0.07 ± 0.00"],
            ["independent, random", "3.19 ± 0.07", "11.7 ± 0.2", "0.08 ± 0.01"],
        ],
    },
    "carbon": {
        "engine": "r²SCAN + rVV10",
        "rows": [
            HEAD,
            ["in-distribution, entropy", "4.24 ± 0.20", "83.5 ± 2.7", "2.42 ± 0.09"],
            ["in-distribution, random", "42.81 ± 0.95", "267.8 ± 3.7", "3.75 ± 0.21"],
            ["in-distribution, mixed", "9.71 ± 0.50", "218.5 ± 1.8", "1.77 ± 0.05"],
            ["independent, entropy", "6.4 ± 0.4", "61.9 ± 0.5", "2.05 ± 0.10"],
            ["independent, random", "10.2 ± 0.7", "40.5 ± 1.0", "1.30 ± 0.03"],
            ["independent, mixed", "6.5 ± 0.5", "51.0 ± 0.1", "1.32 ± 0.02"],
        ],
    },
}
