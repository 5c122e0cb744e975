"""The well-formed part of a configuration that has mistakes, so that the rules can still run.

What is wrong in itself is taken out: the key where its section can do without it, else the
section. What a profile or mailbox cannot be without gets a stand-in, so that the rest of it is
looked at too. The rules ask `sound` before they conclude anything from a place that may have
lost something.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from pydantic import ValidationError

from syncd.config.anatomy import section_at
from syncd.config.problems import Loc
from syncd.config.schema import ProfileType, Settings
from syncd.config.secrets import SecretReading
from syncd.config.strict_yaml import Value, YamlList, YamlMap, place_near, place_of

LISTS: Final = ("profiles", "mailboxes")
"""The lists whose items stand for themselves."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Settings for the rules to look at; they may lack what was wrong in itself."""

    settings: Settings
    tree: YamlMap
    """What was written: the same items as in `settings`, in the same order."""
    lost: frozenset[Loc] = frozenset()
    """What was taken out, or has a stand-in."""
    around_lost: frozenset[Loc] = frozenset()
    """What something was taken out of."""

    @classmethod
    def of(cls, settings: Settings, tree: YamlMap) -> Self:
        """Take settings in which nothing was wrong."""
        return cls(settings, tree)

    def sound(self, *locs: Loc) -> bool:
        """Tell whether nothing was lost at these places."""
        return not any(
            loc in self.around_lost or not self.lost.isdisjoint(_beginnings(loc))
            for loc in locs
        )

    def has(self, *locs: Loc) -> bool:
        """Tell whether all of these were written, and are well-formed."""
        return all(place_of(self.tree, loc) is not None for loc in locs)

    def where(self, loc: Loc) -> str:
        """Name a place in a sentence."""
        return str(place_near(self.tree, loc))


def well_formed_part(
    tree: YamlMap, error: ValidationError, reading: SecretReading
) -> Draft | None:
    """Return what is left without the parts that validation refused."""
    gone = {_removable(details["loc"]) for details in error.errors(include_url=False)}
    items = sorted(loc for loc in gone if _is_item(loc))
    part = _without(tree, gone, ())
    if not isinstance(part, YamlMap):
        return None
    try:
        settings = Settings.model_validate(part, context=reading)
    except ValidationError:
        return None  # more is wrong than could be taken out; the problems found will do
    lost = frozenset(_moved_up(loc, items) for loc in gone.difference(items))
    return Draft(
        settings,
        part,
        lost=lost,
        around_lost=frozenset(beginning for loc in lost for beginning in _beginnings(loc)),
    )


def _removable(loc: Loc) -> Loc:
    """Return the smallest thing around a mistake that its section can do without."""
    while len(loc) > 1 and not _is_item(loc) and _stand_in(loc) is None:
        *_, step = loc
        section = section_at(loc[:-1])
        field = section.model_fields.get(str(step)) if section else None
        if isinstance(step, str) and not (field and field.is_required()):
            break
        loc = loc[:-1]
    return loc


def _is_item(loc: Loc) -> bool:
    match loc:
        case (str(name), int()):
            return name in LISTS
        case _:
            return False


def _stand_in(loc: Loc) -> str | None:
    """Return what stands for a lost value without which nothing else could be looked at."""
    match loc:
        case ("profiles", int(n), "name"):
            return f"?{n}"
        case ("profiles", int(), "type"):
            return ProfileType.POP3_SMTP
        case ("mailboxes", int(n), "address"):
            return f"lost-{n}@draft.invalid"
        case _:
            return None


def _without(node: Value, gone: Iterable[Loc], loc: Loc) -> Value:
    """Copy a document as far as something is taken out of it; share the rest."""
    depth = len(loc)
    below = {entry for entry in gone if len(entry) > depth and entry[:depth] == loc}
    if not below:
        return node
    steps: dict[str | int, set[Loc]] = {}
    for entry in below:
        steps.setdefault(entry[depth], set()).add(entry)
    match node:
        case YamlMap():
            pruned = YamlMap(node.place)
            for key, value in node.items():
                if (*loc, key) not in below:
                    kept = _without(value, steps.get(key, ()), (*loc, key))
                    pruned.put(key, kept, node.key_places[key], node.value_places[key])
            for name in map(str, steps):
                stand_in = _stand_in((*loc, name))
                if (*loc, name) in below and stand_in is not None:
                    place = node.value_places.get(name, node.place)
                    pruned.put(name, stand_in, place, place)
            return pruned
        case YamlList():
            shortened = YamlList(node.place)
            for n, value in enumerate(node):
                if (*loc, n) not in below:
                    kept = _without(value, steps.get(n, ()), (*loc, n))
                    shortened.add(kept, node.places[n])
            return shortened
        case _:
            return node


def _moved_up(loc: Loc, items_gone: list[Loc]) -> Loc:
    """Return where a location went when items before it were taken out."""
    if not _is_item(loc[:2]):
        return loc
    name, position = loc[0], loc[1]
    before = bisect_left(items_gone, loc[:2]) - bisect_left(items_gone, (name, -1))
    return (name, int(position) - before, *loc[2:])


def _beginnings(loc: Loc) -> list[Loc]:
    return [loc[:n] for n in range(1, len(loc) + 1)]
