"""A lease is held by one at a time, and by nobody once it is given back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from entropy_flows.store import connect, lease


def test_of_many_who_want_it_one_has_it_and_none_is_left_behind(database, monkeypatch):
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.003)
    inside, most, longest = [], [], []
    barrier = threading.Barrier(4)

    def take(number):
        own = connect()
        barrier.wait()
        for _ in range(25):
            start = time.monotonic()
            with lease.lease(own, "one"):
                longest.append(time.monotonic() - start)
                inside.append(number)
                time.sleep(0.003)
                most.append(len(inside))
                inside.remove(number)
        own.client.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(take, range(4)))
    assert most == [1] * 100
    assert max(longest) < lease.LEASE_SECONDS / 2
    assert database[lease.LEASES].count_documents({}) == 0
