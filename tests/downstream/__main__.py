"""Runs the suites, and says what passed, what failed, and what differs on purpose."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.downstream.suites import SUITES, Suite

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SECONDS = 300  # for one class of tests


class Outcome(NamedTuple):
    """What became of one test."""

    suite: str
    test: str
    outcome: str
    why: str


def run(suite: Suite, only: str) -> list[Outcome]:
    """All tests of a suite whose names contain ``only``."""
    found: list[Outcome] = []
    for module in suite.modules:
        groups = [json.loads(line) for line in _lines(suite, module) if line.startswith('"')]
        if not groups:
            print(f"{suite.name}: this Python does not come with {module}")
        for group in groups:
            if suite.wants(group) and only in f"{module}.{group}":
                found += _run_group(suite, module, group)
                print(f"{suite.name}: {module.rpartition('.')[2]}.{group}: {_counted(found)}", flush=True)
    return found


def _run_group(suite: Suite, module: str, group: str) -> list[Outcome]:
    told = [json.loads(line) for line in _lines(suite, module, group) if line.startswith('["')]
    outcomes = [Outcome(suite.name, test, outcome, why) for test, outcome, why in told]
    if not outcomes or outcomes[-1].outcome == "hung":
        outcomes.append(Outcome(suite.name, f"{module}.{group}", "failed", f"no end within {SECONDS} s, or a crash"))
    return outcomes


def _lines(suite: Suite, *arguments: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-m", f"tests.downstream.{suite.runner}", suite.install, *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            cwd=HERE.parent.parent,
            env={**os.environ, "DOWNSTREAM_INSTALL": suite.install},
        )
        text = done.stdout
    except subprocess.TimeoutExpired as late:
        text = (late.stdout or b"").decode() + '\n["?", "hung", ""]'
    return text.splitlines()


def sorted_out(outcomes: list[Outcome], reasons: dict[str, dict[str, str]]) -> list[Outcome]:
    """The same, with those that differ on purpose told apart from those that fail; what passes though it should differ is a failure."""
    found = []
    for one in outcomes:
        reason = next((reason for pattern, reason in reasons.get(one.suite, {}).items() if fnmatch(one.test, pattern)), None)
        found.append(one._replace(outcome="different", why=reason) if reason and one.outcome == "failed" else one)
    return found


def _counted(outcomes: list[Outcome]) -> str:
    counts = Counter(one.outcome for one in outcomes)
    return ", ".join(f"{counts[name]} {name}" for name in ("passed", "failed", "different", "skipped") if counts[name])


def main() -> int:
    """See the module; 1 if anything failed that should not."""
    parser = argparse.ArgumentParser(prog="python -m tests.downstream", description=__doc__)
    parser.add_argument("--suite", choices=[suite.name for suite in SUITES], action="append")
    parser.add_argument("--only", default="", help="classes whose names contain this")
    parser.add_argument("--write", metavar="FILE", help="write the figures, and what differs, there")
    arguments = parser.parse_args()
    reasons = tomllib.loads((HERE / "different.toml").read_text())
    everything: dict[Suite, list[Outcome]] = {}
    for suite in SUITES:
        if arguments.suite and suite.name not in arguments.suite:
            continue
        outcomes = everything[suite] = sorted_out(run(suite, arguments.only), reasons)
        for one in outcomes:
            if one.outcome == "failed":
                print(f"FAILED {one.test}: {one.why.splitlines()[0] if one.why else ''}")
        print(f"== {suite.name}: {_counted(outcomes)}")
    if arguments.write:
        page = Path(arguments.write)
        page.parent.mkdir(exist_ok=True)
        page.write_text("\n".join(as_page(everything)))
    return 1 if any(one.outcome == "failed" for outcomes in everything.values() for one in outcomes) else 0


def as_page(everything: dict[Suite, list[Outcome]]) -> Iterator[str]:
    """The figures of each suite, what differs on purpose, and what fails."""
    yield "# The peers' own tests, with manyhands in their place\n"
    version = ".".join(map(str, sys.version_info[:3]))
    yield f"`make downstream` runs them, as they are; these figures are of CPython {version}.\n"
    yield "| suite | passed | different on purpose | failed | skipped by the suite |\n|---|--:|--:|--:|--:|"
    for suite, outcomes in everything.items():
        counts = Counter(one.outcome for one in outcomes)
        yield f"| {suite.name} | " + " | ".join(str(counts[name]) for name in ("passed", "different", "failed", "skipped")) + " |"
    if any(suite.note for suite in everything):
        yield ""
        yield from (f"{suite.name}: {suite.note}." for suite in everything if suite.note)
    for title, outcome in (("What differs on purpose", "different"), ("What fails", "failed")):
        chosen = {suite.name: [one for one in outcomes if one.outcome == outcome] for suite, outcomes in everything.items()}
        if any(chosen.values()):
            yield f"\n## {title}\n"
        for name, found in chosen.items():
            for why, tests in _by_reason(found).items():
                yield f"- {name}: {', '.join(sorted(tests))}: {why}"
    yield from features()
    yield ""


def features() -> Iterator[str]:
    """What libraries without a suite do, and what there is of it here: a table for each."""
    for library, rows in tomllib.loads((HERE / "features.toml").read_text()).items():
        yield f"\n## What {library} does\n"
        yield "It has no tests of its own that could be run; this list is written by hand.\n"
        yield f"| {library} | manyhands | |\n|---|---|---|"
        yield from (f"| {row['feature']} | {row['state']} | {row['here']} |" for row in rows)


def _short(test: str) -> str:
    """The name of a test without its module; what it is run with may contain anything."""
    name, bracket, parameters = test.partition("[")
    return name.rpartition(".")[2] + bracket + parameters


def _by_reason(outcomes: list[Outcome]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in outcomes:
        found.setdefault(one.why.splitlines()[0] if one.why else "", set()).add(f"`{_short(one.test)}`")
    return found


if __name__ == "__main__":
    sys.exit(main())
