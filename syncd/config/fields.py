"""The kinds of fields the schema is made of: pydantic on one side, our words on the other.

Each kind is an annotation, as in `Annotated[timedelta, Parsed(…)]`: it turns what YAML said
into our value (or raises the sentence), writes it back for `config show`, and describes
itself in the JSON Schema.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from syncd.config import values
from syncd.config.problems import ENVIRONMENT
from syncd.config.secrets import SecretReading, read_secret
from syncd.config.strict_yaml import YamlMap
from syncd.model.secret import MASK, SealedSecret, Secret

# eq=False below: typing wants annotations hashable, and these are what they are, not equal.

Json = dict[str, Any]  # Any: pydantic's own type of a JSON Schema

OrNothing: Final = BeforeValidator(lambda value: {} if value is None else value)
"""A section with every key commented out says nothing, and means its defaults."""

OrEmpty: Final = BeforeValidator(lambda value: [] if value is None else value)
"""A list with every item commented out is empty."""


@dataclass(frozen=True, eq=False)
class Parsed:
    """A value made by one function, which raises Unfit for all others."""

    parse: Callable[[object], object]
    json: Mapping[str, object]
    show: Callable[[Any], object] | None = None  # Any: what this field's `parse` returns

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(self.show)
            if self.show
            else None,
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        return dict(self.json)


@dataclass(frozen=True, eq=False)
class OneOf:
    """One of an enum's words.

    `later` are words of a later version and what they bring; `refused` words that are
    understood and not taken here, with the reason.
    """

    choices: type[StrEnum]
    later: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def allowed(self) -> list[str]:
        """The words that are taken here."""
        return [str(word) for word in self.choices if word not in self.refused]

    def parse(self, value: object) -> StrEnum:
        """Return the member that a word names."""
        # `ip: 4` arrives as a number.
        word = str(value) if isinstance(value, str | int) else ""
        allowed = " or ".join(filter(None, (", ".join(self.allowed[:-1]), self.allowed[-1])))
        if word in self.refused:
            raise values.Unfit(f"{word} is refused: {self.refused[word]}")
        if word in self.later:
            later = values.not_yet(self.later[word], f"write {allowed}")
            raise values.Unfit(f"{word} is {later}")
        if word not in self.allowed:
            raise values.Unfit(f"must be {allowed}; {values.found(value)}")
        return self.choices(word)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        return {"enum": self.allowed}


@dataclass(frozen=True, eq=False)
class NotYet:
    """A key of a later version: refused with a sentence, unless it says what holds anyway."""

    what: str
    off: object = None

    def parse(self, value: object) -> object:
        """Return the value that changes nothing, or refuse."""
        if value is None or (isinstance(value, type(self.off)) and value == self.off):
            return self.off
        raise values.Unfit(values.not_yet(self.what))

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        return {"enum": [None] if self.off is None else [self.off, None]}


@dataclass(frozen=True, eq=False)
class Confidential:
    """A secret in one of its spellings; validated with a `SecretReading` as context."""

    spellings: tuple[str, ...] = ("encrypted", "file", "env", "credential")
    require: Callable[[Secret | SealedSecret], None] | None = None
    """Raises Unfit where a secret has a form of its own and this is not it."""

    def parse(
        self,
        value: object,
        info: core_schema.ValidationInfo[Any],  # Any: pydantic leaves the context open
    ) -> Secret | SealedSecret:
        """Read the secret from where the configuration says."""
        if not isinstance(info.context, SecretReading):
            raise TypeError("a secret is read with a SecretReading as validation context")
        beside = None
        if isinstance(value, YamlMap) and not value.place.file.startswith(ENVIRONMENT):
            beside = Path(value.place.file).parent
        secret = read_secret(value, info.context, beside=beside, spellings=self.spellings)
        if self.require:
            self.require(secret)
        return secret

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        return {
            "oneOf": [
                {"type": "string"},
                *(_mapping_of_one(spelling) for spelling in self.spellings),
            ]
        }


def text(longest: int) -> Parsed:
    """Describe a line of text."""
    json = {"type": "string", "minLength": 1, "maxLength": longest}
    return Parsed(partial(values.parse_text, longest=longest), json)


def whole(least: int, most: int) -> Parsed:
    """Describe a whole number within bounds."""
    json = {"type": "integer", "minimum": least, "maximum": most}
    return Parsed(partial(values.parse_whole, least=least, most=most), json)


def duration(least: timedelta, most: timedelta) -> Parsed:
    """Describe a duration within bounds."""
    parse = partial(values.parse_duration, least=least, most=most)
    return Parsed(parse, pattern(values.DURATION.pattern), values.format_duration)


def size(least: int, most: int) -> Parsed:
    """Describe a number of octets within bounds."""
    parse = partial(values.parse_size, least=least, most=most)
    return Parsed(parse, pattern(values.SIZE.pattern), values.format_size)


def pattern(regex: str) -> Json:
    """Describe text of a certain shape, as JSON Schema does."""
    return {"type": "string", "pattern": f"^{regex}$"}


def _mapping_of_one(key: str) -> Json:
    return {
        "type": "object",
        "properties": {key: {"type": "string"}},
        "required": [key],
        "additionalProperties": False,
    }
