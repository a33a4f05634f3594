"""A server behind TLS, as a proxy in front of it offers it."""

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.client.bench.bench_rig import SHORT, bench
from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S

FLAGS = ("--model", MODEL, *SHORT, "--closed", "--mix", "step,stream")


@contextmanager
def proxied(upstream: str, context: ssl.SSLContext) -> Iterator[str]:
    """The address at which a service is reached by TLS."""
    port = int(upstream.rpartition(":")[2])
    ready, ports, loop = threading.Event(), [], asyncio.new_event_loop()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
            writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, theirs[1]), pipe(theirs[0], writer))

    async def serve() -> None:
        server = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await stopped.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=PATIENCE_S)

    stopped = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield f"https://localhost:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(PATIENCE_S)
        loop.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate with openssl")
def test_it_goes_over_tls_and_trusts_whom_it_shall(live: Live, tmp_path: Path) -> None:
    """Requests and streams, with an authority of SSL_CERT_FILE; without it, a sentence."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with proxied(live.url, context) as url:
        trusting = bench(url, *FLAGS, env={"SSL_CERT_FILE": str(certificate)})
        assert trusting.code == 0, trusting.err
        wary = bench(url, *FLAGS)
    assert wary.code == 1
    assert "certificate" in wary.err
    assert wary.err.count("\n") == 1
