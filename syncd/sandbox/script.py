"""Misbehaviour written as JSON: a list of rules, each an object.

    [{"on": "RETR", "do": "cut", "after": 500, "times": 3},
     {"on": "RCPT", "do": "instead", "words": "450 4.7.1 greylisted", "times": 1, "each": true},
     {"on": "LOGIN", "user": "ann@demo.example", "do": "instead", "words": "-ERR [AUTH] no"}]

`do` names an act of `misbehaviour`; its own fields and those of the rule stand side by side.
"""

import json
from collections.abc import Callable
from dataclasses import fields

from syncd.errors import Refused
from syncd.sandbox.misbehaviour import (
    Act,
    Cut,
    Delay,
    Drip,
    Drop,
    Flood,
    Hide,
    Inject,
    Instead,
    ListAs,
    Misbehaviour,
    TooMany,
)
from syncd.sandbox.witness import Service

ACTS: dict[str, Callable[..., Act]] = {
    "drop": Drop,
    "cut": Cut,
    "instead": Instead,
    "delay": Delay,
    "drip": Drip,
    "inject": Inject,
    "flood": Flood,
    "list-as": ListAs,
    "hide": Hide,
    "too-many": TooMany,
}
OF_RULE = {field.name for field in fields(Misbehaviour)} - {"act"}
OCTETS = {"raw", "head", "line"}
"""Fields that hold octets; JSON has only text, whose code points 0-255 they are."""


def read_script(text: str) -> list[Misbehaviour]:
    """Read rules; Refused names the rule and what is wrong with it."""
    try:
        rules = json.loads(text)
    except ValueError as exc:
        raise Refused("script", f"not JSON: {exc}") from exc
    if not isinstance(rules, list):
        raise Refused("script", "a list of rules is wanted")
    return [_rule(n, rule) for n, rule in enumerate(rules, 1)]


def _rule(n: int, rule: object) -> Misbehaviour:
    place = f"rule {n}"
    if not isinstance(rule, dict):
        raise Refused(place, "an object is wanted")
    wishes = dict(rule)
    kind = ACTS.get(str(wishes.pop("do", "")))
    if kind is None:
        raise Refused(place, f"`do` is one of {', '.join(ACTS)}")
    of_rule = {name: wishes.pop(name) for name in OF_RULE & wishes.keys()}
    if "service" in of_rule and of_rule["service"] not in list(Service):
        raise Refused(place, f"`service` is one of {', '.join(Service)}")
    try:
        act = kind(**{name: _value(kind, name, value) for name, value in wishes.items()})
        return Misbehaviour(act=act, **of_rule)
    except TypeError as exc:
        raise Refused(place, str(exc)) from exc


def _value(kind: Callable[..., Act], name: str, value: object) -> object:
    if kind is Hide and isinstance(value, list):
        return frozenset(str(one) for one in value)
    if kind in (Inject, Flood) and name in OCTETS and isinstance(value, str):
        return value.encode("latin-1", "replace")
    return value
