"""TLS in front of a server that does not speak it itself."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import contextmanager, suppress
from queue import Queue
from typing import TYPE_CHECKING

from support.network import HOST, free_port
from support.waiting import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import trustme


@contextmanager
def tls_in_front(
    port: int, certificate: trustme.LeafCert, clients: trustme.CA | None = None
) -> Iterator[int]:
    """Give a port at which the plain server of ``port`` is spoken to through TLS.

    With ``clients`` it asks for a certificate of that authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    place = free_port()
    started: Queue[Callable[[], object]] = Queue()

    async def run() -> None:
        ending, loop = asyncio.Event(), asyncio.get_running_loop()
        server = await asyncio.start_server(serve, HOST, place, ssl=context)
        started.put(lambda: loop.call_soon_threadsafe(ending.set))
        await ending.wait()
        server.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, server = await asyncio.open_connection(HOST, port)
        await asyncio.gather(_copy(reader, server), _copy(upstream, writer))

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="tls")
    thread.start()
    end = started.get(timeout=DEADLINE)
    try:
        yield place
    finally:
        end()
        thread.join()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.transport.abort()
