"""Three questions to a campaign's database.

Example: entropy-flows database examples/silicon_demo.yaml --folder runs/silicon-demo -- python
examples/queries.py
"""

from entropy_flows.store import connect

db = connect()

# labels of silicon above 10 GPa (realised pressure, from the label's own stress)
above = db.labels.find({"elements": ["Si"], "converged": True, "pressure": {"$gt": 10}})

# information gained per iteration
gains = db.iterations.find(
    {}, {"campaign": 1, "iteration": 1, "select.accepted": 1, "select.gains": 1}
)

# which condition finds most
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
    chosen = row["select"]
    print(
        f"iteration {row['iteration']}: {chosen['accepted']} accepted, ΔH {sum(chosen['gains']):.2f} in all"
    )
for row in yields:
    print(row["accepted"], "accepted from", row["_id"])
