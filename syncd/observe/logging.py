"""Logs: one JSON object a line on standard error; events with fields, never secrets.

Rule 1: a value under a key that names a secret is never printed, whatever it is.
Rule 2: one record is one line: foreign text is flattened and cut (faults 66).
Rule 3: what cannot be written is dropped: a full disk below the log, or a reader that has
gone, stops no mail.
"""

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import orjson
import structlog

from syncd.errors import LONGEST_WORDS, one_line

_SECRET_KEYS = frozenset(
    {"password", "secret", "token", "authorization", "key", "credentials", "login"}
)
_LIBRARIES_HELD_AT_WARNING = ("aioimaplib", "aiosmtplib", "uvicorn", "asyncio", "httpx2")
"""aioimaplib logs whole mails and passwords at DEBUG (faults M14); the others only noise."""

EventDict = MutableMapping[str, Any]  # structlog's own type: values are whatever was logged


def configure_logging(level: str, style: str) -> None:
    """Send structlog, and what libraries log, to standard error as `json` or `console`."""
    renderer: structlog.typing.Processor
    if style == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        renderer = structlog.processors.JSONRenderer(serializer=_serialize)
    stream = _PatientStream(sys.stderr)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        guard_values,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", stream)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.root
    root.handlers[:] = [handler]
    root.setLevel(max(logging.INFO, logging.getLevelNamesMapping()[level.upper()]))
    for name in _LIBRARIES_HELD_AT_WARNING:
        logging.Logger.manager.getLogger(name).setLevel(logging.WARNING)


class _PatientStream:
    """A text stream whose writer never hears that it failed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def guard_values(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Mask what is named like a secret; flatten and cut every other text."""
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = "***"
        elif isinstance(value, str) and key not in ("exception", "event", "time", "level"):
            event[key] = one_line(value)
        elif key == "exception" and isinstance(value, str):
            event[key] = value[-LONGEST_WORDS * 16 :]
    return event


def _serialize(event: EventDict, **_options: object) -> str:
    return orjson.dumps(event, default=str).decode()
