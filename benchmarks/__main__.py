"""`python -m benchmarks`: run every workload on every peer and write the results."""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import sys
import tempfile
from itertools import product, zip_longest
from pathlib import Path

from benchmarks import machine, peers, report, workloads
from benchmarks.http1 import UnexpectedReplyError
from benchmarks.measure import MIB
from benchmarks.peers.base import ROOT, TOOLS, Peer, UnavailableError, running
from benchmarks.peers.windlass import Windlass
from benchmarks.report import Report, Row, Table
from benchmarks.workloads.base import FULL, QUICK, Scale, Source, Workload

RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    arguments = _arguments()
    scale = QUICK if arguments.quick else FULL
    TOOLS.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.scratch or TOOLS))
    try:
        available, result = _prepare(arguments, scratch, arguments.rounds or scale.rounds)
        if not available:
            print("Nothing to measure.", file=sys.stderr)
            return 1
        source = _source(scratch, scale)
        chosen = [workload(scale, source) for workload in workloads.ALL if workload.key in arguments.workloads]
        _measure(result, chosen, available, scratch, arguments.paired)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    name = f"{result.date}-{arguments.label or ('quick' if arguments.quick else 'all')}"
    written = report.write(result, arguments.output, name)
    print("\n" + report.markdown(result, f"{name}.svg"))
    print("Written:", *(os.path.relpath(path) for path in written))
    return 1 if any(row.problem for table in result.tables for row in table.rows) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Windlass beside its peers.")
    parser.add_argument("--quick", action="store_true", help="a small run that shows whether everything works")
    parser.add_argument(
        "--paired",
        action="store_true",
        help="Windlass and the other peers alternately, in their comparable dialects, with the ratios of each round",
    )
    parser.add_argument("--rounds", type=int, help=f"how often each load is repeated ({FULL.rounds}; quick: 1)")
    parser.add_argument("--peers", type=_choice([peer.key for peer in peers.ALL]), help="comma-separated; all")
    parser.add_argument("--workloads", type=_choice([each.key for each in workloads.ALL]), help="comma-separated; all")
    parser.add_argument("--label", help="the end of the result's file name, after the date")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the directory of the result")
    parser.add_argument("--scratch", type=Path, help="the directory in which the servers store files (.tools)")
    arguments = parser.parse_args()
    arguments.peers = arguments.peers or [peer.key for peer in peers.ALL]
    arguments.workloads = arguments.workloads or [each.key for each in workloads.ALL]
    return arguments


def _choice(known: list[str]):  # type: ignore[no-untyped-def]
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
        return chosen

    return parse


def _prepare(arguments: argparse.Namespace, scratch: Path, rounds: int) -> tuple[list[Peer], Report]:
    """Install each peer, or record why it is unavailable."""
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    result = Report(date, rounds, machine.describe(scratch), versions={}, skipped={})
    available = []
    for peer in peers.ALL:
        if peer.key not in arguments.peers:
            continue
        print(f"preparing {peer.name}", flush=True)
        try:
            result.versions[peer.name] = peer.prepare()
            available.append(peer)
        except UnavailableError as error:
            result.skipped[peer.name] = str(error)
            print(f"  left out: {error}", flush=True)
    return available, result


def _source(scratch: Path, scale: Scale) -> Source:
    """Write a random file as large as the largest upload. It stays in the page cache."""
    path = scratch / "source"
    with path.open("wb") as file:
        for _ in range(scale.large // MIB):
            file.write(os.urandom(MIB))
    return Source(path, scale.large)


def _measure(result: Report, chosen: list[Workload], available: list[Peer], scratch: Path, paired: bool) -> None:
    for workload in chosen:
        suitable = [peer for peer in available if peer.setup in workload.setups]
        if paired:
            rows = _measure_in_pairs(result, workload, suitable, scratch)
        else:
            rows = _measure_in_turn(result, workload, suitable, scratch)
        if not rows:
            continue
        about = (workload.key, workload.title, workload.describe(), workload.columns, workload.more_is_better)
        result.tables.append(Table(*about, rows))


def _measure_in_turn(result: Report, workload: Workload, suitable: list[Peer], scratch: Path) -> list[Row]:
    """Alternate the peers within each round, so that changes of the machine's load affect all of them."""
    pairs = [(peer, Row(peer.name, dialect)) for peer in suitable for dialect in workload.dialects(peer)]
    for _ in range(result.rounds):
        for number, (peer, row) in enumerate(pairs):
            if not row.problem:
                pairs[number] = peer, _sample(result, workload, peer, row, scratch)
    return [row for _, row in pairs]


def _measure_in_pairs(result: Report, workload: Workload, suitable: list[Peer], scratch: Path) -> list[Row]:
    """Measure ours and the others alternately, in the dialects that are comparable, and relate those of one round: a
    machine that becomes slower in between affects a ratio less than it does a figure."""
    ours, others = _sides(suitable)
    order = [peer for pair in zip_longest(ours, others) for peer in pair if peer is not None]
    contests = list(zip_longest(*([(peer, name) for name in workload.comparable(peer)] for peer in order)))
    rows = {entry: Row(entry[0].name, entry[1]) for contest in contests for entry in contest if entry is not None}
    for _ in range(result.rounds):
        for contest in contests:
            entries = [entry for entry in contest if entry is not None and not rows[entry].problem]
            for entry in entries:
                rows[entry] = _sample(result, workload, entry[0], rows[entry], scratch)
            for mine, theirs in product(entries, entries):
                if mine[0] in ours and theirs[0] in others and not rows[mine].problem and not rows[theirs].problem:
                    _add_ratio(result, workload, rows[mine], rows[theirs])
    return list(rows.values())


def _sides(suitable: list[Peer]) -> tuple[list[Peer], list[Peer]]:
    """Windlass and the others; of Windlass alone, the first set-up and the others."""
    ours: list[Peer] = [peer for peer in suitable if isinstance(peer, Windlass)]
    others = [peer for peer in suitable if not isinstance(peer, Windlass)]
    return (ours, others) if ours and others else (suitable[:1], suitable[1:])


def _add_ratio(result: Report, workload: Workload, ours: Row, theirs: Row) -> None:
    """Record how many times as much of the first column ours has had in this round."""
    key = workload.columns[0].key
    ratio = ours.samples[-1][key] / theirs.samples[-1][key]
    result.ratios.setdefault(f"{workload.title}: {ours.label} / {theirs.label}", []).append(ratio)
    print(f"{workload.key:9} {ours.label} / {theirs.label}: {ratio:.2f}", flush=True)


def _sample(result: Report, workload: Workload, peer: Peer, row: Row, scratch: Path) -> Row:
    """Return the row with one more sample, or with its error."""
    try:
        with running(peer, scratch, workload.scale.largest_sample) as server:
            result.startup_seconds.setdefault(peer.name, []).append(server.startup_seconds)
            figures = workload.run(server, peer.dialects[row.dialect])
    except (UnavailableError, UnexpectedReplyError, OSError) as error:
        print(f"{workload.key:9} {row.label:38} failed: {error}", flush=True)
        return Row(row.peer, row.dialect, row.samples, problem=str(error).replace("\n", " ").replace("|", "/"))
    first = workload.columns[0]
    print(f"{workload.key:9} {row.label:38} {figures[first.key]:9.{first.digits}f} {first.title}", flush=True)
    row.samples.append(figures)
    return row


if __name__ == "__main__":
    sys.exit(main())
