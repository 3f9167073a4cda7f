"""Measure the pages in Chromium: when they paint, what they send, and a scroll through a library of 10,000 files.

``python -m benchmarks.pages`` runs ``windlass serve`` with SQLite, opens each page several times with an empty cache,
and scrolls the library, which has 10,000 files, to its end. Writes ``results/DATE-pages.json``, ``.md`` and ``.svg``.
``--quick`` only shows that everything works. Needs Chromium, and the extras ``dev`` and ``bench``.
"""

from __future__ import annotations

import argparse
import datetime
import io
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, sync_playwright

from benchmarks import machine, report
from benchmarks.peers.base import ROOT
from benchmarks.report import Report, Row, Table
from benchmarks.workloads.base import Column
from tests import samples
from tests.library_rows import fill
from tests.process.conftest import ServerProcess
from windlass import __version__
from windlass.client import Client

RESULTS = ROOT / "benchmarks" / "results"
ROUNDS, FILES = 7, 10_000
QUICK_ROUNDS, QUICK_FILES = 1, 500
#: What a page has once its modules, which it loads after its first paint, have run.
STARTED = "html[data-scripts=ready]"
#: Milliseconds after that in which the modules fetch what they show, and the largest element is painted.
SETTLE_MILLISECONDS = 700
#: Pixels of one frame's scroll: two screens, which is faster than a person reads.
STEP = 1500

PAINTS = """() => new Promise((done) => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0;
  const loaded = [performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")];
  const observer = new PerformanceObserver((list) => {
    observer.disconnect();
    done({
      first_paint: paint,
      largest_paint: list.getEntries().at(-1).startTime,
      bytes: loaded.reduce((sum, { transferSize }) => sum + transferSize, 0) / 1024,
      requests: loaded.length,
    });
  });
  observer.observe({ type: "largest-contentful-paint", buffered: true });
})"""
#: Scroll to the last file, one step in each frame. A task of more than 50 ms of the main thread is a long task.
SCROLL = """async ([name, step]) => {
  const long = [];
  const observer = new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)));
  observer.observe({ type: "longtask" });
  const last = () => document.querySelector("#library-list li:last-child .item-name")?.textContent;
  const gaps = [];
  for (let before = performance.now(); last() !== name;) {
    scrollBy(0, step);
    const now = await new Promise((done) => requestAnimationFrame(done));
    gaps.push(now - before);
    before = now;
  }
  await new Promise((done) => setTimeout(done, 100));
  observer.disconnect();
  return {
    frames: gaps.length,
    slow_frames: gaps.filter((gap) => gap > 50).length,
    long_tasks: long.length,
    longest_task: Math.max(0, ...long),
    elements: document.querySelectorAll("#library-list li").length,
  };
}"""

LOADING = (
    Column("first_paint", "first paint, ms", 0),
    Column("largest_paint", "largest paint, ms", 0),
    Column("bytes", "KiB sent", 1),
    Column("requests", "requests", 0),
)
SCROLLING = (
    Column("frame_ms", "main thread per frame, ms", 1),
    Column("frames", "frames", 0),
    Column("slow_frames", "frames later than 50 ms", 0),
    Column("long_tasks", "long tasks", 0),
    Column("longest_task", "longest task, ms", 0),
    Column("elements", "items in the page", 0),
    Column("heap_before", "JS heap before, MiB", 1),
    Column("heap_after", "after, MiB", 1),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run that shows whether everything works")
    parser.add_argument("--label", default="pages", help="the end of the result's file name, after the date")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the directory of the result")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium is not installed: there is nothing to measure with.", file=sys.stderr)
        return 1
    rounds, files = (QUICK_ROUNDS, QUICK_FILES) if options.quick else (ROUNDS, FILES)
    with tempfile.TemporaryDirectory(prefix="windlass-pages-") as directory, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        versions = {"Windlass": __version__, "Chromium": browser.version}
        result = Report(date, rounds, machine.describe(Path(directory)), versions, skipped={})
        server = ServerProcess(Path(directory) / "home")
        started = time.monotonic()
        server.start()
        result.startup_seconds["Windlass"] = [time.monotonic() - started]
        try:
            result.tables.extend(measure(server, browser, rounds, files))
        finally:
            server.kill()
    written = report.write(result, options.output, f"{result.date}-{options.label}")
    print(written[1].read_text())
    print("Written:", *(os.path.relpath(path) for path in written))
    return 0


def measure(server: ServerProcess, browser: Browser, rounds: int, files: int) -> list[Table]:
    """The pages with a library of ``files``, of which one is a picture."""
    fill(server.home, files)
    picture = upload(server)
    paths = {
        "library and upload": "/",
        "page of a file": f"/f/{picture}",
        "operations": "/operations/",
        "sign-in": "/sign-in/",
    }
    loading = [Row("Windlass", name) for name in paths]
    for _ in range(rounds):
        for row in loading:
            row.samples.append(load(browser, f"{server.url}{paths[row.dialect]}"))
    scrolling = Row("Windlass", f"{files:,} files")
    for _ in range(min(rounds, 3)):
        scrolling.samples.append(scroll(browser, server.url, files))
    about = f"each page with an empty cache, and {files:,} files in the library"
    scrolled = f"from the first to the last file of the list, {STEP} pixels in each frame"
    return [
        Table("pages", "Loading a page", about, LOADING, more_is_better=False, rows=loading),
        Table("scroll", "Scrolling the library", scrolled, SCROLLING, more_is_better=False, rows=[scrolling]),
    ]


def upload(server: ServerProcess) -> str:
    """The id of a picture that is READY."""
    with Client(server.url) as client:
        file = client.upload(io.BytesIO(samples.camera_jpeg()), filename="harbour.jpg")
        return client.wait(file.id, timeout=60).id


def load(browser: Browser, url: str) -> dict[str, float]:
    """Open a page in a new context, which has no cache."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(url, wait_until="load")
    page.wait_for_selector(STARTED, state="attached")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    figures: dict[str, float] = page.evaluate(PAINTS)
    context.close()
    return figures


def scroll(browser: Browser, url: str, files: int) -> dict[str, float]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/?q=row+0&sort=name")
    page.locator("#library-list li").first.wait_for()
    devtools = context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = metrics(devtools)
    figures: dict[str, float] = page.evaluate(SCROLL, [f"row {files - 1:05}.txt", STEP])
    after = metrics(devtools)
    context.close()
    seconds = after["TaskDuration"] - before["TaskDuration"]
    heap = {f"heap_{when}": each["JSHeapUsedSize"] / 2**20 for when, each in (("before", before), ("after", after))}
    return figures | heap | {"frame_ms": 1000 * seconds / figures["frames"]}


def metrics(devtools: CDPSession) -> dict[str, float]:
    """Chromium's counters, after it has collected what nothing refers to."""
    devtools.send("HeapProfiler.collectGarbage")
    found: list[dict[str, Any]] = devtools.send("Performance.getMetrics")["metrics"]
    return {each["name"]: float(each["value"]) for each in found}


if __name__ == "__main__":
    sys.exit(main())
