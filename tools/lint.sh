#!/bin/sh
# Style, types and import contracts.
set -eu
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
"$VENV/bin/mypy"
"$VENV/bin/lint-imports" --no-cache
# Built anew where that is cheap, or where all is to be sure: in CI, or where its tools are installed.
if [ -n "${CI:-}" ] || [ -d page/node_modules ]; then
    "$VENV/bin/python" tools/page_check.py --build
else
    "$VENV/bin/python" tools/page_check.py
fi
