"""Messages: what is sent comes back, and whatever else comes is refused in one line."""

import json
import socket
import threading

import numpy as np
import pytest

from entropy_flows.environments.foreign import wire

ARRAYS = {
    "sizes": np.array([2, 1]),
    "numbers": np.array([14, 14, 11]),
    "lattice": np.random.default_rng(0).normal(size=(2, 3, 3)),
    "pbc": np.array([[True] * 3, [False, True, False]]),
    "positions": np.random.default_rng(1).normal(size=(3, 3)),
}
REQUEST = wire.Message("evaluate", {"number": 1, "model": 2, "stress": True}, ARRAYS)


@pytest.fixture
def ends():
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def header(kind, fields, arrays=()):
    return json.dumps({"kind": kind, "fields": fields, "arrays": list(arrays)}).encode()


def framed(content, size=0, magic=wire.MAGIC, version=wire.VERSION):
    return wire.PREFIX.pack(magic, version, len(content), size) + content


def test_a_message_comes_back_bit_by_bit(ends):
    here, there = ends
    wire.send(here, REQUEST)
    received = wire.receive(there, "evaluate")
    assert received.fields == REQUEST.fields
    assert {name: array.tolist() for name, array in received.arrays.items()} == {
        name: array.tolist() for name, array in ARRAYS.items()
    }
    assert received.arrays["pbc"].dtype == bool


def test_more_than_a_socket_holds_arrives_whole(ends):
    here, there = ends
    vectors = np.random.default_rng(2).normal(size=(200_000, 3))
    pairs = {"centers": np.arange(200_000), "members": np.arange(200_000), "vectors": vectors}
    message = wire.Message("evaluate", REQUEST.fields, {**ARRAYS, **pairs})
    sender = threading.Thread(target=wire.send, args=(here, message))
    sender.start()
    received = wire.receive(there, "evaluate")
    sender.join()
    np.testing.assert_array_equal(received.arrays["vectors"], vectors)


RESULT = [["energy", "<f8", [2]], ["forces", "<f8", [3, 3]]]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"Traceback (most recent call last): and so on", "expected a message that begins with"),
        (framed(b"{}", magic=b"\x80\x04\x95."), "expected a message that begins with"),
        (framed(b"{}", version=2), "expected a message of version 1, got version 2"),
        (framed(b"{}", size=2**60), "at most"),
        (framed(b"{energy: 1}"), "is no JSON"),
        (framed(b"[]"), "no kind, fields and arrays"),
        (framed(header("exec", {})), "unknown kind of message 'exec'"),
        (framed(header("load", {})), "other fields than"),
        (framed(header("result", {"number": True}, RESULT), 88), "number of message result is"),
        (framed(header("result", {"number": "1"}, RESULT), 88), "number of message result is"),
        (framed(header("result", {"number": 1}), 0), "has arrays []"),
        (framed(header("result", {"number": 1}, RESULT), 8), "8 bytes of arrays; their shapes"),
        (
            framed(header("result", {"number": 1}, [["energy", "|O", [2]], RESULT[1]]), 88),
            "array energy of message result is |O [2]",
        ),
        (
            framed(header("result", {"number": 1}, [["energy", "<f8", [-2]], RESULT[1]]), 88),
            "array energy of message result is <f8 [-2]",
        ),
        (
            framed(header("result", {"number": 1}, [RESULT[0], RESULT[0], RESULT[1]]), 104),
            "has arrays",
        ),
        (framed(header("drop", {"model": 1})), "expected a message result or error, got drop"),
    ],
)
def test_what_is_no_message_is_refused(ends, content, problem):
    here, there = ends
    here.sendall(content.ljust(wire.PREFIX.size, b"\0"))
    with pytest.raises(wire.WireError) as refused:
        wire.receive(there, "result", "error")
    assert problem in str(refused.value)


def test_half_a_message_is_the_end_of_the_other_side(ends):
    here, there = ends
    whole = framed(header("result", {"number": 1}, RESULT), 88)
    here.sendall(whole + bytes(80))
    here.close()
    with pytest.raises(wire.ClosedError):
        wire.receive(there, "result")


def test_what_is_sent_is_checked_as_well(ends):
    here, _ = ends
    with pytest.raises(wire.WireError, match="message drop has other fields"):
        wire.send(here, wire.Message("drop", {"number": 1}))
    arrays = {"energy": np.zeros(1), "forces": np.zeros(3)}
    with pytest.raises(wire.WireError, match="array forces of message result"):
        wire.send(here, wire.Message("result", {"number": 1}, arrays))
