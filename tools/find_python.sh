#!/bin/sh
# Print a Python of version $1 that runs; fail if there is none. A shim on the PATH may be there and not run.
for python in "python$1" "$HOME/.pyenv/versions/$1".*/bin/python; do
    if "$python" -c "import sys, venv; assert '%d.%d' % sys.version_info[:2] == '$1'" 2>/dev/null; then
        echo "$python"
        exit 0
    fi
done
exit 1
