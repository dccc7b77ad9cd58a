"""Answers on their way: sound that is sent while it is made, and work that ends when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from evc_jax.errors import ConfigError
from evc_jax.serving.admission import ExpiredError, Ticket
from evc_jax.serving.every_answer import CLIENT_GONE
from evc_jax.serving.logs import LOGGER
from evc_jax.serving.recordings import MEDIA_TYPES, Container
from evc_jax.serving.service import Service
from evc_jax.serving.streams import STREAMED


class StreamedAnswer(StreamingResponse):
    """Sound that is sent while it is made; it holds its ticket until all is sent or nobody listens any more."""

    def __init__(self, ticket: Ticket, work: asyncio.Future, parts: AsyncIterator[bytes], container: Container):
        headers = {"Cache-Control": "no-store"}
        super().__init__(parts, media_type=MEDIA_TYPES[container], headers=headers)
        self._ticket = ticket
        self._work = work

    @classmethod
    async def begin(
        cls, service: Service, ticket: Ticket, given: dict[str, Any], container: Container
    ) -> StreamedAnswer:
        """The answer once its first part is ready, so that what cannot be converted is refused as ever.

        Args:
          service, ticket: as for `Service.compute`.
          given, container: as for `Service.convert_stream`.

        Raises:
          EvcError, ExpiredError: see `Service.convert`; or the format is not streamed.
        """
        if container not in STREAMED:
            raise ConfigError(f"The format {container} cannot be streamed; ask for one of {', '.join(STREAMED)}.")
        loop = asyncio.get_running_loop()
        # Not bounded, so that no thread waits for a slow client: the sound is, by the longest recording.
        ready: asyncio.Queue[bytes | None] = asyncio.Queue()

        def send(part: bytes) -> None:
            loop.call_soon_threadsafe(ready.put_nowait, part)

        work = asyncio.ensure_future(service.compute(ticket, service.convert_stream, given, container, send))
        work.add_done_callback(lambda _: ready.put_nowait(None))
        try:
            first = await ready.get()
            if first is None:
                await work
        except BaseException:
            _abandon(ticket, work)
            raise
        return cls(ticket, work, _rest(first or b"", ready, work), container)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI; an answer that cannot be finished ends early, without the chunk that ends it."""
        try:
            async with asyncio.timeout(self._ticket.left_s()):
                await super().__call__(scope, receive, send)
        except (TimeoutError, ExpiredError):
            LOGGER.warning("the streamed answer took too long and was cut off")
        finally:
            _abandon(self._ticket, self._work)
            self._ticket.close()


async def _rest(first: bytes, ready: asyncio.Queue[bytes | None], work: asyncio.Future) -> AsyncIterator[bytes]:
    part: bytes | None = first
    while part is not None:
        if part:
            yield part
        part = await ready.get()
    await work  # raises what ended it


async def while_connected(request: Request, ticket: Ticket, work: Coroutine[Any, Any, bytes]) -> bytes:
    """What `work` returns; it is given up when the client goes away.

    Args:
      request: whose body has been read.
      ticket: of the request.
      work: what computes the answer.
    """
    computing, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({computing, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not computing.done():
            raise HTTPException(CLIENT_GONE, "The client went away.")
        return computing.result()
    except BaseException:
        _abandon(ticket, computing)
        raise
    finally:
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _abandon(ticket: Ticket, work: asyncio.Future) -> None:
    """The work ends as soon as it can, and nobody asks how."""
    ticket.cancel()
    work.add_done_callback(lambda done: done.cancelled() or done.exception())
    work.cancel()
