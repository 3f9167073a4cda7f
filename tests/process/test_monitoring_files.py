"""The files in ``deploy/``: Prometheus accepts the rules, they fire when they should, and all of their metrics and
labels, and those of the dashboard, are in a scrape of a real server."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import services
from tests.conftest import require
from tests.markdown_pages import ROOT
from tests.process.conftest import ServerProcess, free_port
from tests.process.wire import eventually
from windlass.kernel import process_counters

DASHBOARD = ROOT / "deploy" / "grafana" / "windlass.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
RULE_TESTS = ROOT / "deploy" / "prometheus" / "alerts.test.yml"

_SELECTOR = re.compile(r"(windlass_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=|!=|=~|!~)"([^"]*)"')
#: Labels that Prometheus adds.
_OF_PROMETHEUS = {"job", "instance"}


@pytest.fixture(scope="module")
def promtool() -> str:
    return require(services.find_promtool(), "promtool is not on PATH (Debian package prometheus)")


def run(*command: str | Path) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def dashboard_queries() -> Iterator[tuple[str, str]]:
    """Panel title and query."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "5m").replace("$job", ".+").replace("$instance", ".+")
            yield panel["title"], query


def alert_queries() -> Iterator[tuple[str, str]]:
    for rule in re.split(r"\n\s+- alert: ", ALERTS.read_text())[1:]:
        yield rule.split("\n", 1)[0], re.split(r"\n\s+(?:for|labels):", rule, maxsplit=1)[0]


@pytest.fixture(scope="module")
def target_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a scanner, which is away: so it has a circuit breaker."""
    home = tmp_path_factory.mktemp("monitored") / "home"
    server = ServerProcess(home, CLAMAV_URL=f"tcp://127.0.0.1:{free_port()}")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def scraped(http: httpx.Client) -> dict[str, dict[str, set[str]]]:
    """Name of a series -> its labels -> their values, once steps were run."""
    assert http.post("/files/?filename=a.txt", content=b"content of the scrape").status_code == 201
    text = eventually(lambda: text if "windlass_step_run_seconds_count{" in (text := http.get("/metrics").text) else "")
    found: dict[str, dict[str, set[str]]] = {}
    for line in text.splitlines():
        if kind := re.fullmatch(r"# TYPE (windlass_\w+) (\w+)", line):
            for part in ("_bucket", "_sum", "_count") if kind[2] == "histogram" else ("",):
                found.setdefault(kind[1] + part, defaultdict(set))
        elif series := _SELECTOR.match(line):
            for label, _, value in _MATCHER.findall(series[2] or ""):
                found.setdefault(series[1], defaultdict(set))[label].add(value)
    # Of steps, those outcomes are reported that there were.
    found["windlass_step_run_seconds_count"]["outcome"] |= process_counters.step_run_seconds.labels["outcome"]
    return found


@pytest.mark.parametrize(
    ("name", "query"), [*dashboard_queries(), *alert_queries()], ids=lambda each: each if " " not in each else None
)
def test_what_is_queried_is_in_a_scrape(scraped: dict[str, dict[str, set[str]]], name: str, query: str) -> None:
    selectors = _SELECTOR.findall(query)
    assert selectors or name in {"WindlassDown", "WindlassMissing"}
    grouped = {
        label.strip()
        for group in re.findall(r"\bby \(([^)]*)\)", query)
        for label in group.split(",")
        if label.strip() not in _OF_PROMETHEUS
    }
    known: set[str] = set()
    for metric, matchers in selectors:
        assert metric in scraped, f"{name}: no metric {metric}"
        known |= scraped[metric].keys()
        for label, operator, value in _MATCHER.findall(matchers):
            if label in _OF_PROMETHEUS:
                continue
            assert label in scraped[metric], f"{name}: {metric} has no label {label}"
            values = set(value.split("|")) if "~" in operator else {value}
            assert values <= scraped[metric][label], f"{name}: {metric} has no {label} {values}"
    assert grouped <= known, f"{name}: no label {grouped - known}"


def test_the_rules_are_valid_and_fire_when_they_should(promtool: str) -> None:
    assert "rules found" in run(promtool, "check", "rules", ALERTS)
    assert "SUCCESS" in run(promtool, "test", "rules", RULE_TESTS)
    tested = RULE_TESTS.read_text()
    assert [name for name, _ in alert_queries() if name not in tested] == []


def test_prometheus_can_parse_each_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, (_, query) in enumerate(dashboard_queries())]
    file = tmp_path / "rules.yml"  # YAML contains JSON
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run(promtool, "check", "rules", file)


def test_the_panels_of_the_dashboard_fill_rows_without_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
