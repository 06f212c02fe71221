"""The page in a real browser, with a real observer and real programs."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse

import browsing
import pages
import psutil
import pytest
import scripts
import waiting

pytestmark = pytest.mark.skipif(bool(browsing.MISSING), reason=browsing.MISSING)


@pytest.fixture(scope="module")
def chromium():
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    """At the end, it has had nothing to complain about."""
    chromium.complaints.clear()
    yield chromium
    assert chromium.complaints == []


@contextlib.contextmanager
def running(tmp_path, code, *options, name="program.py"):
    """A script under ``manyhands run --watch``, and its page."""
    script = tmp_path / name
    script.write_text(code)
    command = [sys.executable, "-m", "manyhands", "run", "--watch", "--no-browser", *options, str(script)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=scripts.environment(), start_new_session=True
    )
    try:
        yield process, pages.announced(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers too: they are of its group
        process.communicate()


def number(tab, selector):
    return int(re.sub(r"\D", "", tab.inner_text(selector)))


def comes(tab, expression, given=None):
    """What it says is true, sooner or later. What Playwright has for this needs eval(), which the policy of the page forbids."""
    try:
        waiting.until(lambda: tab.evaluate(expression, given))
    except AssertionError:
        raise AssertionError(f"{expression} did not come about:\n{tab.inner_text('body')}") from None


def ends(tab, *states):
    tab.wait_for_selector(", ".join(f".headline .state.{state}" for state in states))


# ---------------------------------------------------------------- what it shows

STEPS = """
import time
import manyhands

def step(n):
    time.sleep(0.02)
    return n

def main():
    manyhands.map(step, range(100_000), workers=3)

main()
"""


def test_it_shows_the_workers_and_moves(tmp_path, browser):
    with running(tmp_path, STEPS) as (_, page), browser.looking_at(page) as tab:
        comes(tab, "document.querySelectorAll('.lane:not(.program)').length === 3")
        assert tab.inner_text(".lane.program .lane-name") == "program.py"
        names = tab.eval_on_selector_all(".lane:not(.program) .lane-name", "all => all.map(each => each.innerText)")
        assert names == ["worker 0", "worker 1", "worker 2"]
        assert tab.inner_text(".headline .state") == "running"
        seen = []
        for _ in range(3):
            waiting.until(lambda: number(tab, ".numbers b") not in seen)
            seen.append(number(tab, ".numbers b"))
        assert seen == sorted(seen)
        tab.wait_for_selector(".lane .what >> text=step")
        drawn = "document.querySelector('.lane-body canvas').toDataURL()"
        before = tab.evaluate(drawn)
        comes(tab, f"before => {drawn} !== before", before)
        assert tab.evaluate("document.documentElement.scrollHeight <= innerHeight")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_worker_that_is_killed_turns_red_within_a_second(tmp_path, browser):
    code = "import time, manyhands\nmanyhands.map(time.sleep, [60] * 6, workers=3, errors='return')"
    with running(tmp_path, code) as (_, page), browser.looking_at(page) as tab:
        comes(tab, "document.querySelectorAll('.lane:not(.program)').length === 3")
        calm = colour_of(tab, ".lane:not(.program)")
        waited = []
        for count in (1, 2, 3):  # a machine that is busy may let one of them wait
            title = tab.get_attribute(".lane:not(.program):not(.lost) .lane-name", "title")
            begin = time.monotonic()
            os.kill(int(re.search(r"process (\d+)", title)[1]), signal.SIGKILL)
            comes(tab, f"document.querySelectorAll('.lane.lost').length === {count}")
            waited.append(time.monotonic() - begin)
        assert min(waited) < 1
        red, green, blue = colour_of(tab, ".lane.lost")
        assert (red, green, blue) != calm
        assert red > 1.5 * max(green, blue)
        assert "killed by SIGKILL" in tab.inner_text(".lane.lost")


def colour_of(tab, selector):
    said = tab.eval_on_selector(selector, "element => getComputedStyle(element.querySelector('.lane-name')).color")
    return tuple(map(int, re.findall(r"\d+", said)[:3]))


def test_ctrl_c_ends_the_program_within_a_second_and_the_page_says_so(tmp_path, browser):
    waited = []
    for _ in range(3):  # a machine that is busy may let one of them wait
        with running(tmp_path, STEPS) as (process, page), browser.looking_at(page) as tab:
            comes(tab, "document.querySelectorAll('.lane:not(.program)').length === 3")
            begin = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            process.wait(10)
            waited.append(time.monotonic() - begin)
            ends(tab, "interrupted")
            assert "Interrupted after" in tab.inner_text("main")
            assert tab.query_selector_all(".lane.lost") == []
        if min(waited) < 1:
            return
    raise AssertionError(waited)


HOSTILE = "<img src=x onerror=hit()>"
WRITES = f"""
import time, manyhands

def task(text):
    time.sleep(0.3)
    raise ValueError(text + "</script><script>hit()</script>")

task.__qualname__ = task.__name__ = {HOSTILE!r}
manyhands.map(task, [{HOSTILE!r}] * 40, workers=2, errors="skip")
"""


def test_texts_are_texts(tmp_path, browser):
    with running(tmp_path, WRITES, "--arguments", name="<b onclick=hit()>.py") as (_, page), browser.looking_at(page) as tab:
        tab.evaluate("() => { window.hit = () => { window.wasHit = true; }; }")
        tab.wait_for_selector(".errors summary")
        tab.wait_for_selector(".lane .given")
        tab.wait_for_selector(".source .line.now")
        shown = tab.inner_text("main")
        for text in (HOSTILE, "</script><script>hit()</script>", "<b onclick=hit()>.py"):
            assert text in shown
        assert HOSTILE in tab.inner_text(".lane .given")
        tab.click(".lane:not(.program)")
        tab.wait_for_selector("dialog.worker")
        assert tab.evaluate("document.querySelectorAll('img, b[onclick], main script, dialog script').length") == 0
        assert tab.evaluate("window.wasHit") is None


def test_nothing_could_run_even_if_it_were_put_in(tmp_path, browser):
    """What the policy of the page is for."""
    with running(tmp_path, STEPS) as (_, page), browser.looking_at(page) as tab:
        tab.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.wasHit = true";
                document.body.append(script);
                document.body.insertAdjacentHTML("beforeend", `<img src="data:," onerror="window.wasHit = true">`);
            }"""
        )
        comes(tab, "complaints.length >= 2")
        assert tab.evaluate("window.wasHit") is None
        assert {said.split()[0] for said in tab.evaluate("complaints.splice(0)")} == {"script-src-elem", "script-src-attr"}
    assert all("Content Security Policy" in said for said in browser.complaints)
    browser.complaints.clear()


def test_another_name_for_this_machine_leads_nowhere(tmp_path, browser):
    with running(tmp_path, STEPS) as (_, page), browser.tab() as tab:
        port = urllib.parse.urlsplit(f"http://{page.host}").port
        assert tab.goto(f"http://rebound.example:{port}{page.entrance}").status == 421
        assert tab.goto(f"http://{page.host}/").status == 403
    browser.complaints.clear()  # of these two


def test_a_second_run_joins_the_page_of_the_first(tmp_path, browser):
    with running(tmp_path, STEPS, name="first.py") as (_, page), browser.looking_at(page) as tab:
        tab.wait_for_selector(".tab")
        with running(tmp_path, STEPS, name="second.py") as (_, other):
            assert other.host == page.host
            tab.wait_for_selector(".tab >> text=second.py")
            assert tab.inner_text("h1") == "first.py"  # who looks at it stays there
            tab.click(".tab >> text=second.py")
            tab.wait_for_selector("h1 >> text=second.py")


PLAIN = """
import concurrent.futures, time

def solve(n):
    deadline = time.monotonic() + 0.05
    while time.monotonic() < deadline:
        n * n
    if n % 3 == 2:
        raise ZeroDivisionError(f"no solution for {n}")

if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        concurrent.futures.wait([pool.submit(solve, n) for n in range(10_000)])
"""


def test_a_program_that_knows_nothing_of_it_shows_failures_and_lines(tmp_path, browser):
    """Of the standard library's executor: the traceback, the heat, and the line where each worker is."""
    with running(tmp_path, PLAIN) as (_, page), browser.looking_at(page, "dark") as tab:
        tab.wait_for_selector(".errors pre")
        assert re.search(r'File ".*program.py", line 9, in solve', tab.inner_text(".errors pre"))
        assert "ZeroDivisionError no solution for 2" in " ".join(tab.inner_text(".errors summary").split())
        comes(tab, "document.querySelectorAll('.lane:not(.program)').length === 2")
        tab.wait_for_selector(".source .line .marker.inner")
        comes(tab, "[...document.querySelectorAll('.source .line .heat i.own')].some(each => each.offsetWidth > 20)")
        with_heat = "all => all.filter(each => each.querySelector('.heat i')).map(each => each.innerText)"
        hot = tab.eval_on_selector_all(".source .line", with_heat)
        assert any("while time.monotonic()" in line or "n * n" in line for line in hot)
        assert tab.query_selector_all(".source .line.cold") == []  # nobody has counted
        tab.wait_for_selector(".stacks .stack >> text=solve()")


FAILING = """
import time, manyhands

def read(name):
    time.sleep(0.1)
    if name.endswith("7.txt"):
        raise OSError(f"cannot read {name}")

manyhands.map(read, [f"file-{n}.txt" for n in range(600)], workers=2, chunk=1, errors="return", record_failures="failures")
"""


def test_which_input_failed_and_how_to_run_it_again_is_shown(tmp_path, browser):
    with running(tmp_path, FAILING, "--arguments", "--control") as (_, page), browser.looking_at(page) as tab:
        tab.wait_for_selector(".errors .given >> text=task 7: read('file-7.txt')")
        assert f"manyhands replay {tmp_path}/failures/read-7-" in tab.inner_text(".errors .given code")
        lanes = "[...document.querySelectorAll('.lane:not(.program) .doing')]"
        comes(tab, f'{lanes}.some(each => each.innerText.includes("(\'file-"))')
        box, steps = tab.locator(".lane-body canvas").bounding_box(), itertools.count()

        def tells():
            tab.mouse.move(box["x"] + box["width"] * (0.99 - next(steps) * 0.01 % 0.5), box["y"] + box["height"] * 0.5)
            return "('file-" in (tab.evaluate("document.querySelector('.tip')?.innerText") or "")

        waiting.until(tells)


def test_what_cannot_be_done_is_answered_in_words(tmp_path, browser):
    """The browser has nothing to complain about, see the fixture."""
    with running(tmp_path, STEPS, "--control") as (_, page), browser.looking_at(page) as tab:
        comes(tab, "document.querySelectorAll('.lane:not(.program).busy').length === 3")
        tab.click(".lane:not(.program) .lane-name")
        top = "document.querySelector('.deeds').getBoundingClientRect().top"
        tab.wait_for_selector("text=Cancel its task")
        before = tab.evaluate(top)
        tab.click("text=Cancel its task")
        tab.wait_for_selector(".deeds >> text=Its tasks are too short to be cancelled.")
        assert tab.evaluate(top) == before
        tab.wait_for_selector(".full-stack .own >> text=of manyhands")


TRACED = """
import manyhands
manyhands.watch.trace()
total = 0
while True:
    total += 1
"""


def test_a_program_without_tasks_shows_its_lines_first(tmp_path, browser):
    with running(tmp_path, TRACED) as (_, page), browser.looking_at(page) as tab:
        tab.wait_for_selector(".verdict >> text=This program runs no tasks: its lines and stacks are shown.")
        assert tab.inner_text(".switch").split() == ["time", "runs"]
        left = "document.querySelector('{}').getBoundingClientRect().left"
        assert tab.evaluate(left.format(".source")) < tab.evaluate(left.format(".lanes"))


LINES = """
import time, manyhands

@manyhands.Memory({folder!r}, verbose=0).cache
def table(n):
    return n

class Tally:
    def __init__(self):
        self.n = 0

    def add(self):
        self.n += 1

def work(n):
    table(n % 3)
    tally.add()
    if n < 0:
        time.sleep(1)
    time.sleep(0.02)

{share}
manyhands.map(work, range(10_000), workers=2)
"""


@pytest.mark.parametrize("share", ["tally = manyhands.share(Tally())", "tally = manyhands.share.new(Tally)"])
def test_caches_shared_objects_and_lines_that_have_not_run_are_shown(tmp_path, browser, share):
    code = LINES.format(folder=str(tmp_path / "cache"), share=share)
    with running(tmp_path, code, "--level", "touch") as (_, page), browser.looking_at(page) as tab:
        tab.wait_for_selector(".cache tbody tr >> text=table")
        tab.wait_for_selector(".shared tbody tr >> text=Tally")
        calls = ".shared tbody td"
        before = tab.inner_text(calls)
        comes(tab, "([path, before]) => document.querySelector(path).innerText !== before", [calls, before])
        waiting.until(lambda: "time.sleep(1)" in cold(tab) and "time.sleep(0.02)" not in cold(tab))
        assert number(tab, ".census b") == 2


def cold(tab):
    return set(tab.eval_on_selector_all(".source .line.cold code", "all => all.map(each => each.innerText.trim())"))


HUNDRED_THOUSAND = """
import os, time
from manyhands._probe import _probe, _segment as told

probe = _probe.here()
begin, step = time.monotonic_ns(), probe.text("step")
workers = [(number + 1) << 22 | os.getpid() for number in range(64)]
for number, worker in enumerate(workers):
    probe.write(told.WORKER_BEGUN, begin, worker, probe.text(f"thread {number}"), 0)
for number in range(100_000):
    begun = begin + number // 64 * 600_000
    place = workers[number % 64] << 32 | step
    probe.write(told.TASKS_DONE, begun + 500_000, 0, number << 32 | 1, place, begun, 500_000)
time.sleep(60)
"""
# Zooms in and out, and notes when each picture was drawn.
ZOOM = """
() => new Promise((resolve) => {
    const canvas = document.querySelector(".lane-body canvas");
    const { x, y, width } = canvas.getBoundingClientRect();
    const drawn = [];
    const draw = (now) => {
        drawn.push(now);
        const deltaY = drawn.length % 30 < 15 ? -60 : 60;
        const at = { clientX: x + width * 0.6, clientY: y + 30 };
        canvas.dispatchEvent(new WheelEvent("wheel", { deltaY, ...at, bubbles: true, cancelable: true }));
        if (drawn.length < 40) requestAnimationFrame(draw);
        else resolve(drawn);
    };
    requestAnimationFrame(draw);
})
"""
MB = 1e6


def test_many_tasks_take_little_memory_and_are_drawn_at_once(tmp_path, browser):
    with running(tmp_path, HUNDRED_THOUSAND) as (_, page), browser.looking_at(page) as tab:
        waiting.until(lambda: number(tab, ".numbers b") == 100_000)
        assert number(tab, ".census b") == 64
        drawn = tab.evaluate(ZOOM)
        gaps = sorted(later - earlier for earlier, later in itertools.pairwise(drawn))
        assert gaps[len(gaps) // 2] < 100  # milliseconds; 17 on a machine that does nothing else
        told = tab.context.new_cdp_session(tab)
        told.send("Performance.enable")
        told.send("HeapProfiler.collectGarbage")
        figures = {each["name"]: each["value"] for each in told.send("Performance.getMetrics")["metrics"]}
        assert figures["JSHeapUsedSize"] < 100 * MB
        _, observer = pages.of_observer()
        assert psutil.Process(observer).memory_full_info().uss < 100 * MB
