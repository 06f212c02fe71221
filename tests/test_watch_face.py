"""``manyhands.watch`` as who looks for its parameters finds it."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys

import pytest

import manyhands
from manyhands.watch import _watching


def test_its_parameters_are_found():
    assert inspect.signature(manyhands.watch) == inspect.signature(_watching.watch)
    assert "level" in inspect.signature(manyhands.watch).parameters
    assert "None (the" in pydoc.render_doc(manyhands.watch.__call__)


@pytest.mark.parametrize("name", [*inspect.signature(_watching.watch).parameters, "sample", "touch", "auto", "exact"])
def test_its_help_tells_of_all_that_can_be_chosen(name):
    described = pydoc.render_doc(manyhands.watch).partition("PACKAGE CONTENTS")[0]
    assert f"``{name}``" in described or f'``"{name}"``' in described


def test_its_parameters_are_told_to_who_mistypes_one():
    with pytest.raises(TypeError, match=r"no parameter 'lvel'; did you mean 'level'\? It has name, level, files"):
        manyhands.watch(lvel="auto")
    with pytest.raises(TypeError, match="no parameter 'zzz'; it has name, level, files"):
        manyhands.watch(zzz=1)


def test_nothing_is_loaded_for_it_before_it_is_called():
    code = "import sys, manyhands; manyhands.watch; print('inspect' in sys.modules, 'manyhands.watch._watching' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "False False\n"
