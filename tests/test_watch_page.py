"""The page of watch, as it is committed: of its sources, small, with nothing that its policy forbids or that comes from elsewhere."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

import manyhands

ROOT = Path(__file__).parent.parent
BUILT = Path(manyhands.__file__).parent / "watch/observer/page"
FILES = ("index.html", "page.css", "page.js")
_NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml", "http://www.w3.org/1998/Math/MathML"}


def text(name: str) -> str:
    return (BUILT / name).read_text(encoding="utf-8")


def test_what_is_built_is_that_of_its_sources():
    done = subprocess.run([sys.executable, ROOT / "tools/page_check.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_is_small():
    assert sum(len(gzip.compress((BUILT / name).read_bytes())) for name in FILES) <= 80_000


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_elsewhere(name):
    assert {address.rstrip("/") for address in re.findall(r"https?://[\w./-]+", text(name))} <= _NAMESPACES
    assert "@import" not in text(name)
    assert "url(" not in text(name)


def test_the_document_has_no_code_or_style_of_its_own():
    """The policy would not let it run."""
    page = text("index.html")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]


def test_the_script_can_be_put_into_a_report():
    assert not re.search(r"</script|<!--", text("page.js"), re.IGNORECASE)


def test_the_script_makes_no_code_of_texts():
    """The policy forbids it too."""
    assert not re.search(r"\beval\(|new Function\(|document\.write\(|insertAdjacentHTML", text("page.js"))


def test_licences_of_what_is_bundled_are_there():
    licences = text("LICENSES.txt")
    for name in ("preact", "@lezer/common", "@lezer/highlight", "@lezer/lr", "@lezer/python"):
        assert name in licences
