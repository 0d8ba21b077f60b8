"""The live page: what it answers, to whom, and that it changes nothing."""

import json
import uuid
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listening import commands_of
from small_campaign import give_evaluation, give_target, small_campaign

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from entropy_flows.store import CampaignStore, StoreError
from entropy_flows.web import source as source_module
from entropy_flows.web.app import COOKIE, POLICY, make_app
from entropy_flows.web.source import Source

EVIL = '<script>alert("x")</script> & <b>'
RUN = {
    "index": 0,
    "phase": "diamond",
    "temperature": 300.0,
    "k": 5.0,
    "pressure": 0.0,
    "snapshots": 20,
    "mean_temperature": 310.0,
    "reason": EVIL,
    "wall_seconds": 2.0,
}
READS = {"find", "aggregate", "getMore", "count", "distinct", "hello", "ismaster", "endSessions"}


@pytest.fixture(scope="module")
def campaign(server, tmp_path_factory):
    """A campaign of nine entries that was evaluated, and a failure whose text is HTML."""
    folder = tmp_path_factory.mktemp("web")
    with small_campaign(server, folder, f"web_{uuid.uuid4().hex[:8]}") as (store, _):
        give_target(store)
        give_evaluation(store)
        store.exclude(["001/select/00002"], "two phases")
        counts = {"candidates": 20, "near_misses": 2, "rejected": 13, "spent": 0}
        for iteration, accepted in ((1, 4), (2, 3)):
            gains = [0.5 / number for number in range(1, accepted + 1)]
            select = {**counts, "accepted": accepted, "gains": gains}
            store.record(iteration, select=select, runs=[RUN])
        store.set_state("running", "so far")
        store.add_failure(1, "explore", EVIL, "job-2", EVIL)
        yield store


@pytest.fixture
def client(campaign):
    source = Source()
    yield TestClient(make_app(source, every=2), base_url="http://localhost")
    source.close()


def test_pages_and_data(client, campaign):
    home = client.get("/")
    assert home.status_code == 200
    assert 'href="campaign/test"' in home.text
    page = client.get("/campaign/test")
    assert page.status_code == 200
    for section in ("story", "loop", "map", "iterations", "conditions", "failures", "cost"):
        assert f'<section id="{section}"' in page.text
    assert '<figure id="errors">' in page.text
    assert 'data-map="test/map"' in page.text
    points = client.get("/campaign/test/map").json()
    entries = list(campaign.ledger(campaign.campaign().dataset).entries())
    assert points["keys"] == [entry["key"] for entry in entries]
    status = dict(zip(points["keys"], points["names"]["status"]["values"], strict=True))
    labels = {label["key"]: label for label in campaign.labels()}
    for key, word in status.items():
        if key in campaign.excluded():
            assert word == "excluded"
        elif key not in labels:
            assert word == "not labelled yet"
        elif not labels[key]["converged"]:
            assert word == "label failed"
        else:
            assert word == labels[key]["split"]
    energies = points["numbers"]["energy"]["values"]
    for key, energy in zip(points["keys"], energies, strict=True):
        label = labels.get(key)
        if label is None or not label["converged"]:
            assert energy is None
        else:
            assert energy == pytest.approx(label["energy"] / label["n_atoms"], rel=1e-5)


def test_a_cell_is_drawn_as_the_ledger_has_it(client, campaign):
    entry = next(iter(campaign.ledger(campaign.campaign().dataset).entries()))
    card = client.get(f"/campaign/test/cell/{entry['key']}").json()
    assert card["symbols"] == [s["species"][0]["element"] for s in entry["structure"]["sites"]]
    assert len(card["positions"]) == len(card["forces"]) == entry["n_atoms"]
    assert entry["key"] in card["extxyz"]
    assert len(card["neighbours"]) == 5
    assert entry["key"] not in card["neighbours"]
    excluded = client.get("/campaign/test/cell/001/select/00002").json()
    assert any("two phases" in sentence for sentence in excluded["story"])


def test_text_of_users_is_text(client):
    text = client.get("/campaign/test").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(" in text


def test_every_answer_says_what_a_browser_may_do(client):
    for path in ("/", "/campaign/test", "/campaign/test/map", "/static/map.js", "/nowhere"):
        answer = client.get(path)
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "'unsafe-eval'" not in POLICY
    assert "script-src 'self';" in POLICY


def test_what_is_not_there(client):
    assert client.get("/campaign/none").status_code == 404
    assert "campaign &#39;none&#39;" in client.get("/campaign/none").text
    assert client.get("/campaign/test/cell/none").status_code == 404
    assert client.get("/static/page.py").status_code == 404
    assert client.get("/static/..%2F..%2Fpage.py").status_code == 404
    assert client.post("/campaign/test").status_code == 405


def test_an_unchanged_page_is_not_sent_again(client):
    first = client.get("/campaign/test")
    again = client.get("/campaign/test", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert not again.content


def test_nothing_is_told_without_the_token(campaign):
    app = make_app(Source(), token="right")
    for path in ("/", "/campaign/test", "/campaign/test/map", "/static/style.css"):
        for params in ({}, {"token": "wrong"}, {"token": ""}):
            client = TestClient(app, base_url="http://localhost")
            answer = client.get(path, params=params, follow_redirects=False)
            assert answer.status_code == 401
            assert "test" not in answer.text
    client = TestClient(app, base_url="http://localhost")
    answer = client.get("/", params={"token": "right"}, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert client.cookies[COOKIE] == "right"
    assert client.get("/campaign/test").status_code == 200
    bearer = TestClient(app, base_url="http://localhost")
    headers = {"Authorization": "Bearer right"}
    assert bearer.get("/campaign/test", headers=headers).status_code == 200
    headers = {"Authorization": "Bearer right\u00e9".encode("latin-1")}
    assert bearer.get("/", headers=headers).status_code == 401


def test_a_page_elsewhere_cannot_ask_under_its_own_name(campaign):
    app = make_app(Source(), hosts=("localhost", "127.0.0.1"))
    assert TestClient(app, base_url="http://localhost:8675").get("/").status_code == 200
    assert TestClient(app, base_url="http://evil.example").get("/").status_code == 400


def test_it_only_reads_and_many_viewers_cost_as_one(campaign, monkeypatch):
    commands = commands_of(monkeypatch)
    source = Source()
    monkeypatch.setattr(source.cache, "fresh", 60.0)
    client = TestClient(make_app(source), base_url="http://localhost")
    client.get("/campaign/test")
    client.get("/campaign/test/map")
    client.get("/campaign/test/cell/001/select/00000")
    client.get("/")
    assert set(commands.names) <= READS
    assert commands.names
    before = len(commands.names)
    for _ in range(20):
        assert client.get("/campaign/test").status_code == 200
        assert client.get("/campaign/test/map").status_code == 200
    assert len(commands.names) == before


def test_a_change_is_seen(campaign, monkeypatch):
    source = Source()
    monkeypatch.setattr(source.cache, "fresh", 0.0)
    monkeypatch.setattr(source.cache, "share", float("inf"))
    client = TestClient(make_app(source), base_url="http://localhost")
    first = client.get("/campaign/test")
    assert client.get("/campaign/test").headers["etag"] == first.headers["etag"]
    campaign.add_failure(2, "select", "select", "job-3", "out of disk")
    second = client.get("/campaign/test")
    assert second.headers["etag"] != first.headers["etag"]
    assert "out of disk" in second.text
    campaign.delete_failures(["job-3"])


def test_a_database_that_is_away_is_said_and_waited_for(campaign, monkeypatch):
    source = Source()
    monkeypatch.setattr(source.cache, "fresh", 0.0)
    monkeypatch.setattr(source.cache, "share", float("inf"))
    client = TestClient(make_app(source), base_url="http://localhost")
    connect = source_module.connect

    def away():
        raise StoreError("MongoDB at mongodb://nowhere cannot be reached")

    monkeypatch.setattr(source_module, "connect", away)
    answer = client.get("/campaign/test")
    assert answer.status_code == 503
    assert "cannot be reached" in answer.text
    monkeypatch.setattr(source_module, "connect", connect)
    assert client.get("/campaign/test").status_code == 200


def test_a_campaign_that_has_nothing_yet(campaign):
    config = campaign.document()["config"] | {"name": "empty"}
    CampaignStore(campaign.database, "empty").create(campaign.validated(config))
    client = TestClient(make_app(Source()), base_url="http://localhost")
    page = client.get("/campaign/empty")
    assert page.status_code == 200
    assert "Nothing has ended yet." in page.text
    assert client.get("/campaign/empty/map").json()["keys"] == []


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    parts=st.lists(st.text(max_size=12), max_size=4),
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "DELETE"]),
    tag=st.text(st.characters(codec="latin-1"), max_size=8),
)
def test_no_address_breaks_it(client, parts, method, tag):
    for start in ("", "campaign", "campaign/test", "campaign/test/cell", "static"):
        path = "http://localhost/" + "/".join([start, *(quote(part, safe="") for part in parts)])
        headers = {"If-None-Match": tag.encode("latin-1").replace(b"\n", b"").replace(b"\r", b"")}
        answer = client.request(method, path, headers=headers)
        assert answer.status_code < 500
        assert "Traceback" not in answer.text


def test_data_for_scripts_are_json_without_nan(client):
    text = client.get("/campaign/test/map").text
    json.loads(text, parse_constant=lambda name: pytest.fail(name))


def test_what_takes_long_to_read_is_read_less_often(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(source_module.time, "monotonic", lambda: clock[0])
    cache = source_module.Cache(fresh=2.0, share=0.1)
    reads = []

    def read(seconds):
        def slowly(before):
            clock[0] += seconds
            reads.append(seconds)
            return len(reads)

        return slowly

    for _ in range(100):
        cache.get("quick", read(0.01))
        cache.get("slow", read(1.5))
        cache.get("page", read(0.3), limited=False)
        clock[0] += 1.0
    spent = {seconds: seconds * reads.count(seconds) / clock[0] for seconds in (0.01, 1.5, 0.3)}
    assert spent[1.5] < 0.1
    assert reads.count(0.01) > 0.3 * clock[0]
    assert reads.count(0.3) > 0.3 * clock[0]
