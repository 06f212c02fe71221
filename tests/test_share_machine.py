"""Shared objects against a model, by several processes that are killed at any time."""

from __future__ import annotations

import itertools
import os

import pytest
import share_clients
import waiting
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from share_clients import MADE, Client, Hands, kind_of, nothing_is_kept, parts, plain, sessions

pytestmark = pytest.mark.timeout(600)

EXAMPLES = int(os.environ.get("MANYHANDS_EXAMPLES", "25"))
CLIENTS = 3
WHO = st.integers(0, CLIENTS)  # the last one is the owner
HANDLES = st.integers(0, 4)
KEYS = st.sampled_from("abc")
NUMBERS = st.integers(0, 9)


def _is_reached(model, wanted):
    return model is wanted or any(_is_reached(part, wanted) for part in parts(model).values())


class Machine(RuleBasedStateMachine):
    """``models`` has, for each who has proxies, what each of them stands for. One at most is in a transaction."""

    def __init__(self, hands):
        super().__init__()
        self.hands = hands  # of all clients, and of the owner
        self.models = [{} for _ in hands]
        self.holder = None
        self.may_be_abandoned = False

    # ---------------------------------------------------------------- who, and what

    def may(self, who, *handles):
        """Whether one may do something now: has what it takes, and need not wait for a transaction."""
        return self.holder in {None, who} and all(handle in self.models[who] for handle in handles)

    def everywhere(self):
        return [(who, handle, model) for who, models in enumerate(self.models) for handle, model in models.items()]

    # ---------------------------------------------------------------- one after the other

    @rule(handle=HANDLES, kind=st.sampled_from(sorted(MADE)), clients=st.sets(WHO, min_size=1))
    def make(self, handle, kind, clients):
        owner = CLIENTS
        if not self.may(owner):
            return
        self.hands[owner].make(handle, kind)
        model = self.models[owner][handle] = MADE[kind][1]()
        for who in clients - {owner}:
            self.hands[who].take(handle, self.hands[owner].give(handle))
            self.models[who][handle] = model

    @rule(who=WHO, handle=HANDLES, to=WHO, into=HANDLES)
    def give(self, who, handle, to, into):
        if handle not in self.models[who]:
            return
        self.hands[to].take(into, self.hands[who].give(handle))
        self.models[to][into] = self.models[who][handle]

    @rule(who=WHO, handle=HANDLES, data=st.data(), into=HANDLES)
    def read(self, who, handle, data, into):
        if not self.may(who, handle) or not (found := parts(self.models[who][handle])):
            return
        key = data.draw(st.sampled_from(sorted(found)))
        self.hands[who].read(handle, key, into)
        self.models[who][into] = found[key]

    @rule(who=WHO, handle=HANDLES, key=KEYS, other=HANDLES)
    def store(self, who, handle, key, other):
        if not self.may(who, handle, other):
            return
        into, what = self.models[who][handle], self.models[who][other]
        if kind_of(into) not in {"dict", "list"} or _is_reached(what, into):
            return
        self.hands[who].store(handle, key, other)
        if isinstance(into, list):
            into.append(what)
        else:
            into[key] = what

    @rule(who=WHO, handle=HANDLES)
    def drop(self, who, handle):
        if self.models[who].pop(handle, None) is not None:
            self.hands[who].drop(handle)

    @rule(who=WHO, handle=HANDLES, data=st.data(), key=KEYS, value=NUMBERS)
    def do(self, who, handle, data, key, value):
        if not self.may(who, handle):
            return
        model = self.models[who][handle]
        name = data.draw(st.sampled_from(sorted(share_clients.DONE[kind_of(model)])))
        assert self.hands[who].do(handle, name, key, value) == share_clients.do(model, name, key, value)

    @rule(who=WHO, handle=HANDLES)
    def look(self, who, handle):
        if self.may(who, handle):
            self.is_as_modelled(who, handle)

    def is_as_modelled(self, who, handle):
        model = self.models[who][handle]
        assert self.hands[who].look(handle) == plain(model)
        if kind_of(model) in {"dict", "list", "set", "box"}:
            assert self.hands[who].copy(handle) == plain(model)

    # ---------------------------------------------------------------- transactions

    @rule(who=WHO, handle=HANDLES)
    def begin(self, who, handle):
        if self.may(who, handle) and self.holder is None:
            taken, abandoned = self.hands[who].lock(handle)
            assert taken
            assert self.may_be_abandoned or not abandoned
            self.holder = who
            for other, others in self.with_the_same(who, handle):
                assert self.hands[other].lock(others, 0) == (False, False)

    def with_the_same(self, who, handle):
        model = self.models[who][handle]
        return [(other, others) for other, others, its in self.everywhere() if its is model and other != who]

    @precondition(lambda self: self.holder is not None)
    @rule()
    def end(self):
        self.hands[self.holder].unlock()
        self.holder = None

    # ---------------------------------------------------------------- deaths

    def replace(self, who):
        """A client is killed, and its successor has nothing."""
        client = self.hands[who]
        client.kill()
        waiting.until(lambda: client.token not in sessions())
        self.hands[who] = Client()
        self.models[who] = {}

    @rule(who=st.integers(0, CLIENTS - 1))
    def kill(self, who):
        if self.holder == who:
            self.holder = None
            self.may_be_abandoned = True
        self.replace(who)

    @rule(who=st.integers(0, CLIENTS - 1), handle=HANDLES)
    def kill_in_a_transaction(self, who, handle):
        """Somebody who waits is told, and nobody else."""
        if not self.may(who, handle) or self.holder is not None or kind_of(self.models[who][handle]) == "point":
            return
        others = [(other, its) for other, its in self.with_the_same(who, handle) if other != CLIENTS]
        self.hands[who].lock(handle)
        if others:
            waits, its = others[0]
            self.hands[waits].begin("lock", its)
        self.replace(who)
        self.may_be_abandoned = True
        if others:
            assert self.hands[waits].end() == (True, True)
            self.hands[waits].unlock()
            assert self.hands[waits].lock(its, 20) == (True, False)
            self.hands[waits].unlock()

    @rule(who=st.integers(0, CLIENTS - 1), handle=HANDLES, steps=st.integers(0, 40))
    def kill_in_the_midst(self, who, handle, steps):
        """What it has done is a beginning of what it was about to do."""
        if not self.may(who, handle) or self.holder is not None or not isinstance(self.models[who][handle], list):
            return
        model, owner = self.models[who][handle], self.hands[CLIENTS]
        owner.take(9, self.hands[who].give(handle))
        self.hands[who].begin("several_times", handle, who, 10**5)
        waiting.until(lambda: owner.length(9) >= len(model) + steps)
        self.replace(who)
        done = owner.look(9)[len(model) :]
        assert done == [f"{who} {i}" for i in range(len(done))]
        assert len(done) >= steps
        owner.shorten(9, len(model) + steps)
        owner.drop(9)
        model.extend(done[:steps])

    # ---------------------------------------------------------------- at once

    @rule(data=st.data(), count=st.integers(1, 20))
    def race(self, data, count):
        known = self.everywhere()
        if self.holder is not None or not known:
            return
        who, handle, model = data.draw(st.sampled_from(known))
        kind, before = kind_of(model), plain(model)
        racers = dict(self.with_the_same(who, handle)) | {who: handle}
        for one in racers.keys() - {CLIENTS}:
            self.hands[one].begin("several_times", racers[one], one, count)
        said = [self.hands[CLIENTS].several_times(racers[CLIENTS], CLIENTS, count)] if CLIENTS in racers else []
        said += [self.hands[one].end() for one in racers.keys() - {CLIENTS}]
        if kind == "list":
            new = self.hands[who].look(handle)[len(before) :]
            for one in racers:
                assert [text for text in new if text.startswith(f"{one} ")] == [f"{one} {i}" for i in range(count)]
            assert len(new) == count * len(racers)
            model.extend(new)
        else:
            expected = [share_clients.several_times(model, one, count) for one in racers]
            if kind == "tally":
                assert sorted(itertools.chain(*said)) == list(itertools.chain(*expected))
                assert all(drawn == sorted(drawn) for drawn in said)
        self.is_as_modelled(who, handle)

    # ---------------------------------------------------------------- the end

    def teardown(self):
        try:
            if self.holder is not None:
                self.end()
            for who, handle, _ in self.everywhere():
                self.is_as_modelled(who, handle)
            for who, handle, _ in self.everywhere():
                assert self.hands[who].lock(handle, 20)[0]
                self.hands[who].unlock()
        except BaseException:
            self.hands[:CLIENTS] = [_replaced(client) for client in self.hands[:CLIENTS]]
            raise
        finally:
            self.models.clear()
            for one in self.hands:
                one.clear()
        nothing_is_kept()


def _replaced(client):
    client.kill()
    return Client()


@pytest.fixture
def hands():
    """Of clients that stay, from one example to the next, and of the owner."""
    everybody = [*(Client() for _ in range(CLIENTS)), Hands()]
    yield everybody
    for client in everybody[:CLIENTS]:
        client.close()


def test_a_graph_of_objects_against_a_model(hands):
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        lambda: Machine(hands),
        settings=settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=checks),
    )
