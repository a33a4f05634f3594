"""The command line: `carousel-serve`, or `python -m carousel.service`."""

import asyncio
import gc
import logging
import os
import sys

import uvloop

from carousel.service.allocator import return_large_pieces
from carousel.service.api.ops.greeting import greet
from carousel.service.api.server.server import Server, listen
from carousel.service.app import App, create_app
from carousel.service.errors import SettingError
from carousel.service.load_settings import load_settings, unknown_variables
from carousel.service.logs import configure_logs
from carousel.service.settings import Settings, describe_access, describe_settings

log = logging.getLogger("carousel.service")

_BAD_SETTING = 3
# How long a thread may have to wait until another that is busy lets it into the interpreter.
# Python's own 5 ms are as long as a whole run: a lane that has ended one would stand still for as
# long again.
_SWITCH_S = 0.0005


def main() -> None:
    """Serve until a signal ends it; exit code 3 for a setting that cannot be used."""
    try:
        settings = load_settings(sys.argv[1:], os.environ)
        configure_logs(settings.log_level)
        for line in unknown_variables(os.environ):
            log.warning("%s", line)
        return_large_pieces()
        if settings.num_lanes != 0:
            sys.setswitchinterval(_SWITCH_S)
        app = create_app(settings)
        uvloop.run(_serve(app))
    except SettingError as error:
        sys.stderr.write(f"carousel-serve: {error}\n")
        sys.exit(_BAD_SETTING)


async def _serve(app: App) -> None:
    settings = app.settings
    try:
        sock = listen(settings.host, settings.port)
        server = Server(app.gate, keep_alive_s=settings.keep_alive_s)
        server.install_signals(
            lambda: app.drain(settings.drain_delay_s, settings.drain_timeout_s), app.refresh
        )
        url = _url(settings, sock.getsockname()[1])
        log.info("listening at %s; %s", url, describe_access(settings))
        for line in describe_settings(settings):
            log.info("setting %s", line)
        starting = asyncio.create_task(_start(app, url))
        starting.add_done_callback(lambda task: _end_if_failed(task, server))
        await server.serve(sockets=[sock])
        if not starting.cancelled() and starting.done() and starting.exception() is not None:
            await starting
    finally:
        await app.stop()
    log.info("ended; accepted requests left unanswered: %d", app.lifecycle.num_accepted)


async def _start(app: App, url: str) -> None:
    await app.start()
    loaded = app.catalog.current()
    if not loaded:
        log.warning("no model is served: %s holds none", app.settings.model_repository)
    _calm_collector()
    log.info("ready; models served: %s", ", ".join(each.name for each in loaded) or "none")
    if app.settings.print_curl:
        greeting = greet(url, loaded, with_key=bool(app.settings.api_key))
        sys.stdout.write(greeting)
        sys.stdout.flush()


def _calm_collector() -> None:
    """Take what was loaded out of the garbage collector's sight, and let it look more rarely.

    A step makes a dozen objects that live until the session's next ones: with the interpreter's own
    thresholds the collector walks all sessions again and again: a fifth of a step's time in
    sessions and engine, 23 us against 18 (128 sessions in one process, without HTTP).
    """
    gc.collect()
    gc.freeze()
    # Nothing that goes wrong leaves rings of ours (a test holds it), but libraries do.
    gc.set_threshold(10_000, 20, 20)


def _end_if_failed(task: "asyncio.Task[None]", server: Server) -> None:
    if not task.cancelled() and task.exception() is not None:
        server.should_exit = True


def _url(settings: Settings, port: int) -> str:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    main()
