"""A project of the user's, whose modules are edited between calls."""

from __future__ import annotations

import sys
import types
from typing import NamedTuple

from manyhands.memory._function_key import FunctionKey


class Project:
    """Modules that are written, and loaded anew each time."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.monkeypatch = monkeypatch
        monkeypatch.syspath_prepend(str(folder))

    def module(self, source, name="app"):
        file = self.folder.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        module = types.ModuleType(name)
        module.__file__ = str(file)
        self.monkeypatch.setitem(sys.modules, name, module)
        exec(compile(source, str(file), "exec", dont_inherit=True), module.__dict__)
        return module

    def key(self, source, name="f", **declared):
        return FunctionKey(getattr(self.module(source), name), **declared)

    def digest(self, source, name="f", **declared):
        return self.key(source, name, **declared).digest()

    def file(self, name, text):
        """One that has to be imported."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
        sys.path_importer_cache.clear()


def in_folder(tmp_path, monkeypatch):
    """What a fixture gives."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield Project(tmp_path, monkeypatch)
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


HEADER = """
import argparse, collections, contextlib, contextvars, dataclasses, enum, functools, operator, threading, types, typing
import numpy as np
"""


class Called(NamedTuple):
    """What a function of the project gave: with a cache and without; the cached function; whether the result was there before."""

    cached: object
    really: object
    function: object
    was_found: bool


class Caller:
    """Loads a version of a module and calls its function ``f`` with what ``args()`` gives, if there is that."""

    def __init__(self, project, memory):
        self.project = project
        self.memory = memory

    def __call__(self, source, **options):
        self.project.monkeypatch.setitem(HELD, "memory", self.memory)
        app = self.project.module(f"{HEADER}from projects import HELD\nmemory = HELD['memory']\n{source}")
        args = app.args() if hasattr(app, "args") else ()
        function = self.memory.cache(app.f, **options)
        was_found = function.check_call_in_cache(*args)
        return Called(function(*args), app.f(*args), function, was_found)


HELD = {}


def check(called, source, before, after, **options):
    """An edit makes it another call, and undoing it the old one."""
    assert before in source
    old = called(source, **options)
    new = called(source.replace(before, after), **options)
    assert old.cached == old.really != new.really == new.cached
    assert called(source, **options).was_found
