"""Cells of a notebook: a kernel is started and used as a notebook does."""

from __future__ import annotations

import json

import scripts

# Runs cells given as JSON, one after the other, in a new kernel; prints what each answered, as JSON.
NOTEBOOK = """
import json, os, sys, threading
from jupyter_client.manager import start_new_kernel

os.environ.pop("PYTEST_CURRENT_TEST", None)  # with it, ipykernel does not show what processes print
manager, client = start_new_kernel(kernel_name="python3")

def look(message, seen):
    kind, content = message["msg_type"], message["content"]
    if kind == "execute_result":
        seen.append(content["data"]["text/plain"])
    elif kind == "display_data":
        seen.append(sorted(content["data"]))
    elif kind == "stream":
        seen.append(content["text"])
        if "interrupt me" in content["text"]:
            threading.Thread(target=manager.interrupt_kernel).start()
    elif kind == "error":
        seen.append(content["ename"])

try:
    for cell in json.loads(sys.argv[1]):
        seen = []
        client.execute_interactive(cell, timeout=30, output_hook=lambda message: look(message, seen))
        print(json.dumps(seen), flush=True)
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=False)
"""


def answers(*cells):
    done = scripts.run(NOTEBOOK, json.dumps(cells), seconds=55)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == len(cells), done.stderr[-2000:]
    return lines


DEFINE = """
import asyncio, manyhands
factor = 3
def scaled(x):
    return x * factor
def wait(_):
    import time
    print("interrupt me", flush=True)
    time.sleep(60)
"""


def test_cells_of_a_notebook():
    cells = {
        DEFINE: [],
        "manyhands.map(scaled, range(4), workers=2)": ["[0, 3, 6, 9]"],
        "factor = 4\nmanyhands.map(lambda x: scaled(x), range(4), workers=2)": ["[0, 4, 8, 12]"],
        "[result async for result in manyhands.aimap(scaled, range(4), workers=2)]": ["[0, 4, 8, 12]"],
        "with manyhands.Executor(2) as executor:\n"
        "    result = await asyncio.get_running_loop().run_in_executor(executor, scaled, 5)\n"
        "result": ["20"],
        "manyhands.map(lambda x: 1 / x, [1, 0])": ["ZeroDivisionError"],
        "manyhands.map(wait, [1, 2], workers=1)": ["interrupt me\n", "KeyboardInterrupt"],
        "manyhands.map(scaled, range(3), workers=2)": ["[0, 4, 8]"],
        "watching = manyhands.watch()\nmanyhands.map(scaled, range(2), workers=2)": [["text/html", "text/plain"], "[0, 4]"],
        "watching.stop()": [],
    }
    assert answers(*cells) == list(cells.values())


def test_progress_is_a_line_of_the_cell():
    ((line, result),) = answers("import manyhands\nmanyhands.map(abs, range(500), workers=2, progress=True)[-1]")
    assert line.startswith("500/500 tasks")
    assert result == "499"
