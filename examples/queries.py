r"""Three queries to a campaign's database.

Example:

    entropy-flows database examples/silicon_demo.yaml --folder runs/silicon-demo -- \
        python examples/queries.py
"""

from entropy_flows.store import connect

db = connect()

# Labels of silicon above 10 GPa; the pressure is that of the label's stress.
above = db.labels.find({"elements": ["Si"], "converged": True, "pressure": {"$gt": 10}})

# Information gained in each iteration.
gains = db.iterations.find(
    {}, {"campaign": 1, "iteration": 1, "select.accepted": 1, "select.gains": 1}
)

# Accepted cells of each condition, the most fruitful first.
yields = db.structures.aggregate(
    [
        {"$match": {"stage": "select"}},
        {
            "$group": {
                "_id": {"phase": "$origin.phase", "T": "$origin.temperature", "k": "$origin.k"},
                "accepted": {"$sum": 1},
            }
        },
        {"$sort": {"accepted": -1}},
    ]
)

print("labels above 10 GPa:", len(list(above)))
for row in gains:
    accepted = row["select"]["accepted"]
    gain = sum(row["select"]["gains"])
    print(f"iteration {row['iteration']}: {accepted} accepted, ΔH {gain:.2f} in all")
for row in yields:
    print(row["accepted"], "accepted from", row["_id"])
