"""What the demo does: read the sources of Python's standard library and count what is in them.

Real code without anything of manyhands: ``analyse`` goes to the workers, ``Totals`` adds up what they found.
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings
from collections import Counter
from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 5


@dataclass(slots=True)
class Report:
    """What is in one file."""

    path: str
    readable: bool = False
    lines: int = 0
    comments: int = 0
    functions: int = 0
    classes: int = 0
    longest: list[tuple[int, str]] = field(default_factory=list)  # (lines, function)
    names: Counter[str] = field(default_factory=Counter)
    imports: Counter[str] = field(default_factory=Counter)


def source_files(*, tests: bool = False) -> list[str]:
    """All Python files of the standard library of this machine; those of its test suite, which is the larger half, if asked for."""
    found = []
    left_out = {"site-packages", "dist-packages", "__pycache__"} | (set() if tests else {"test", "tests", "idle_test"})
    for directory, folders, files in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = sorted(set(folders) - left_out)
        found += [os.path.join(directory, name) for name in sorted(files) if name.endswith(".py")]
    return found


def analyse(path: str) -> Report:
    """What is in the file ``path``. One that Python cannot read (it holds examples of bad code on purpose) is marked so."""
    report = Report(path)
    try:
        with open(path, "rb") as file:
            source = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings that are out of use
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return report
    report.readable = True
    lines = source.splitlines()
    report.lines = len(lines)
    report.comments = sum(line.lstrip().startswith(b"#") for line in lines)
    for node in ast.walk(tree):
        if type(node) is ast.Name:  # most are
            report.names[node.id] += 1
        elif isinstance(node, ast.stmt):
            _count(node, report)
    report.longest = sorted(report.longest, reverse=True)[:_LONGEST]
    return report


def _count(node: ast.stmt, report: Report) -> None:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            report.functions += 1
            report.longest.append(((node.end_lineno or node.lineno) - node.lineno + 1, node.name))
        case ast.ClassDef():
            report.classes += 1
        case ast.Import():
            report.imports.update(alias.name.partition(".")[0] for alias in node.names)
        case ast.ImportFrom(level=0, module=str(module)):
            report.imports[module.partition(".")[0]] += 1


@dataclass(slots=True)
class Totals:
    """Many reports in one."""

    files: int = 0
    unreadable: int = 0
    lines: int = 0
    comments: int = 0
    functions: int = 0
    classes: int = 0
    longest: list[tuple[int, str, str]] = field(default_factory=list)  # (lines, function, file)
    names: Counter[str] = field(default_factory=Counter)
    imports: Counter[str] = field(default_factory=Counter)

    def add(self, report: Report) -> None:
        """Take one report in."""
        self.files += 1
        self.unreadable += not report.readable
        self.lines += report.lines
        self.comments += report.comments
        self.functions += report.functions
        self.classes += report.classes
        self.names.update(report.names)
        self.imports.update(report.imports)
        self.longest += [(lines, name, report.path) for lines, name in report.longest]
        self.longest = sorted(self.longest, reverse=True)[:_LONGEST]


def total(reports: Iterable[Report]) -> Totals:
    """The sum of reports."""
    totals = Totals()
    for report in reports:
        totals.add(report)
    return totals
