"""The application: every route of this version over one desk."""

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from syncd.api import problems
from syncd.api.desk import Desk
from syncd.api.routes import mailboxes, messages, outgoing, quarantine, status

PREFIX = "/api/v1"

Application = FastAPI
"""What `build_app` gives: any ASGI server takes it."""


def build_app(desk: Desk, version: str) -> Application:
    """Build the application; the desk is the daemon, or a command over the store."""
    app = FastAPI(
        title="syncd",
        version=version,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    problems.install(app)
    # Mailboxes last: one of its routes takes everything below /mailboxes.
    for resource in (status, messages, outgoing, quarantine, mailboxes):
        app.include_router(resource.routes(desk), prefix=PREFIX)

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Say that the process is alive."""
        return "ok\n"

    return app
