"""Errors as RFC 9457 problem details with stable types."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from syncd.errors import (
    NotFound,
    Refused,
    StoreBroken,
    StoreBusy,
    StoreError,
    StoreFull,
    SyncdError,
)
from syncd.scheduler.rounds import RoundsEnded

TYPE_PREFIX = "urn:syncd:problem:"
"""Problem types are names, not pages: they work where no web is reachable."""


class NeedsDaemon(SyncdError):
    """Only a running daemon can do this."""


def problem(status: int, name: str, detail: str, **more: str) -> JSONResponse:
    """Build one problem document."""
    body: Mapping[str, str | int] = {
        "type": TYPE_PREFIX + name,
        "title": name.replace("-", " "),
        "status": status,
        "detail": detail,
        **more,
    }
    return JSONResponse(body, status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Make every error of ours, and of the framework, a problem document."""

    @app.exception_handler(SyncdError)
    async def _ours(_request: Request, error: SyncdError) -> JSONResponse:
        match error:
            case NotFound():
                return problem(404, "not-found", str(error))
            case Refused():
                return problem(422, "refused", str(error), field=error.field)
            case NeedsDaemon() | RoundsEnded():
                return problem(503, "needs-daemon", str(error))
            case StoreFull():
                return problem(507, "store-full", str(error))
            case StoreBusy() | StoreBroken() | StoreError():
                return problem(503, "store", str(error))
            case _:
                return problem(500, "failed", str(error))

    @app.exception_handler(404)
    async def _no_route(request: Request, _error: Exception) -> JSONResponse:
        return problem(404, "not-found", f"there is no route {request.url.path}")

    @app.exception_handler(405)
    async def _no_method(request: Request, _error: Exception) -> JSONResponse:
        return problem(405, "not-allowed", f"{request.url.path} takes no {request.method}")

    @app.exception_handler(RequestValidationError)
    async def _shape(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(422, "refused", f"{where}: {first['msg']}", field=where)
