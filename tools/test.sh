#!/bin/sh
# Lint, then the suite: on this environment's Python, and before that on each other supported Python of this machine.
set -eu
sh tools/lint.sh
own=$("$VENV/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for version in 3.11 3.12 3.13; do
    [ "$version" = "$own" ] && continue
    python=$(sh tools/find_python.sh "$version") || continue
    echo "== Python $version"
    other=".venv-$version"
    [ -x "$other/bin/python" ] || "$python" -m venv "$other"
    if [ ! -e "$other/installed" ] || [ pyproject.toml -nt "$other/installed" ]; then
        "$other/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
        "$other/bin/python" -m pip install --quiet --disable-pip-version-check --editable . --group test
        touch "$other/installed"
    fi
    "$other/bin/python" -m pytest --quiet
done
echo "== Python $own"
exec "$VENV/bin/python" -m pytest
