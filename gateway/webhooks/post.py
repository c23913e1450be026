"""One POST to a webhook's receiver, who may be slow, hostile, or somebody else than his name says.

Everything has a limit: the whole exchange a time, the answer's head and body a size. Redirects are not followed,
proxies and cookies not used, and no connection is made to an address that ``webhook_target`` refuses: the address
looked at is the one that is connected to.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

import gateway
from cosem_objects.errors import SettingError
from gateway.webhooks.retry import Answer
from gateway.webhooks.target import TargetRule, check_url, refusal

ANSWER_OCTETS_MAX = 64 * 1024
"""Read of an answer's body, so that its connection can be used again; behind that the connection is closed."""


class _AddressRefused(Exception):
    """No connection is made to any address of this host."""


class WebhookPoster:
    """Connections to all receivers. Use it as an async context manager."""

    def __init__(
        self,
        rule: TargetRule,
        *,
        timeout_seconds: float = 10.0,
        connections_max: int = 64,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """``tls``: whom to trust, default the system's certificate authorities."""
        self._rule = rule
        self._timeout_seconds = timeout_seconds
        self._connections_max = connections_max
        self._tls = tls
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self._connections_max,
            use_dns_cache=False,
            resolver=_CheckedResolver(self._resolver or aiohttp.ThreadedResolver(), self._rule),
            ssl=True if self._tls is None else self._tls,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
            auto_decompress=False,
            headers={"User-Agent": f"stsgate/{gateway.__version__}", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()
        self._session = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Whatever happens is an ``Answer``; its words name no part of the URL but the host's address."""
        assert self._session is not None
        try:
            target = check_url(url, self._rule)
            async with self._session.post(target, data=body, headers=headers, allow_redirects=False) as response:
                answer = Answer(status=response.status, retry_after=response.headers.get("Retry-After"))
                await _read_the_rest(response)
                return answer
        except SettingError as error:
            return Answer(error=str(error))
        except _AddressRefused as error:
            return Answer(error=str(error))
        except TimeoutError:
            return Answer(error=f"no answer within {self._timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(error=_words(error))


async def _read_the_rest(response: aiohttp.ClientResponse) -> None:
    """The status counts, whatever becomes of the body."""
    left = ANSWER_OCTETS_MAX
    try:
        while left > 0:
            octets = await response.content.read(left)
            if not octets:
                return
            left -= len(octets)
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass
    response.close()


class _CheckedResolver(AbstractResolver):
    """Gives those addresses alone to which a connection may be made."""

    def __init__(self, inner: AbstractResolver, rule: TargetRule) -> None:
        self._inner = inner
        self._rule = rule

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        refusals = [refusal(result["host"], host, self._rule) for result in found]
        allowed = [result for result, refused in zip(found, refusals, strict=True) if refused is None]
        if found and not allowed:
            raise _AddressRefused(f"{found[0]['host']}: {refusals[0]}")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def _words(error: Exception) -> str:
    """Why there was no answer, without the library's words: those may repeat the URL."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name of its host was not found"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "")
        return f"its TLS certificate is not trusted: {reason or 'unknown reason'}"
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {_name(error.os_error)}"
    if isinstance(error, aiohttp.ClientResponseError):
        return "what it answered is not HTTP"
    if isinstance(error, (aiohttp.ClientConnectionError, OSError)):
        return "the connection was closed before an answer"
    return f"no answer ({type(error).__name__})"


def _name(error: OSError) -> str:
    return type(error).__name__ if error.errno not in errno.errorcode else os.strerror(error.errno or 0)
