"""The daemon's life: start in order, run until told to stop, drain, end."""

import asyncio
import signal
from collections.abc import Mapping

import structlog

from syncd.config.remarks import warnings
from syncd.config.schema import Settings
from syncd.daemon.service import Daemon, open_daemon
from syncd.errors import StoreBroken, leaves
from syncd.observe.logging import configure_logging

DRAIN_SECONDS = 630.0
"""How long a stop waits for what is under way: the ten minutes after an SMTP dot, and a
little. A second signal does not wait."""

POLLS_END_SECONDS = 30.0
"""How long a stop lets polls go on, so that what was fetched is mostly recorded too."""

EXIT_DONE = 0
EXIT_FAILED = 1

_log = structlog.get_logger()


async def run_daemon(settings: Settings, environ: Mapping[str, str]) -> int:
    """Run until SIGTERM or SIGINT; return the exit status.

    The first signal stops new work and lets cycles under way end; the second drops them,
    which is as safe as a crash: nothing is lost, nothing doubled.
    """
    configure_logging(settings.log.level, settings.log.format)
    for warning in warnings(settings):
        _log.warning("doubtful setting", setting=str(warning))
    stop = _Stop()
    stop.listen()
    broken: list[str] = []
    try:
        async with open_daemon(settings, environ) as daemon:
            _log.info("started", **daemon.introduce())
            await _serve(daemon, stop)
    except* StoreBroken as failed:
        # What the system holds in memory of the file can no longer be trusted; a fresh
        # process reads what is truly there (the service manager starts it again).
        broken = [str(error) for error in leaves(failed)]
    if broken:
        _log.error("stopped: the store is broken", error=broken[0])
        return EXIT_FAILED
    _log.info("stopped")
    return EXIT_DONE


async def _serve(daemon: Daemon, stop: "_Stop") -> None:
    async with asyncio.TaskGroup() as parts:
        working = parts.create_task(daemon.work())
        await stop.asked.wait()
        _log.info("stopping", polling=daemon.poller.running, sending=daemon.dispatcher.running)
        daemon.stop()
        # A poll may end at any instant: what is not committed comes again.
        asyncio.get_running_loop().call_later(POLLS_END_SECONDS, daemon.poller.drop_all)
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                async with asyncio.TaskGroup() as ending:
                    hurry = ending.create_task(stop.hurried.wait())
                    working.add_done_callback(lambda _: hurry.cancel())
        except TimeoutError:
            _log.warning("not drained in time; dropping what is under way")
        working.cancel()


class _Stop:
    """Two events: asked to stop, asked to hurry."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signal)
        loop.add_signal_handler(signal.SIGHUP, self._refuse_reload)

    def _signal(self) -> None:
        if self.asked.is_set():
            self.hurried.set()
        self.asked.set()

    def _refuse_reload(self) -> None:
        _log.warning("reload is not in this version of syncd; restart to apply the file")
