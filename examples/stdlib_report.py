"""What is in Python's standard library? A short variant of what `manyhands demo` does."""

import ast
import sysconfig
from collections import Counter
from pathlib import Path

import manyhands

Found = tuple[int, list[str], Counter[str]]


def analyse(path: Path) -> Found:
    """Lines, functions and imports of a source file."""
    source = path.read_bytes()
    nodes = list(ast.walk(ast.parse(source)))
    functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef)]
    imports = Counter(alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names)
    return source.count(b"\n"), functions, imports


home = Path(sysconfig.get_path("stdlib"))
paths = [path for path in home.rglob("*.py") if not {"site-packages", "test", "tests", "idle_test"} & set(path.parts)]
lines, functions, imports = 0, Counter[str](), Counter[str]()
with manyhands.imap(analyse, paths, errors="skip", progress=True) as results:  # "skip": files that are no valid Python
    for more_lines, more_functions, more_imports in results:
        lines += more_lines
        functions.update(more_functions)
        imports.update(more_imports)
print(f"{len(paths)} files, {lines:,} lines, {functions.total():,} functions")
print("most imported:", ", ".join(name for name, _ in imports.most_common(5)))
print("most frequent names of functions:", ", ".join(name for name, _ in functions.most_common(3)))

# Output, of Python 3.11:
# 734 files, 327,340 lines, 16,367 functions
# most imported: sys, os, re, warnings, codecs
# most frequent names of functions: __init__, __repr__, decode
