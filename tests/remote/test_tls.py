"""A store by URL through TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme
from support.logs import data, some
from support.network import HOST
from support.tls import tls_in_front
from support.waiting import collect

from eventstore import EventStore, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from support.served import Served

pytestmark = pytest.mark.anyio


async def test_certificates_are_checked(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with tls_in_front(served.port, authority.issue_cert(HOST)) as port:
        url = served.url.replace("http://", "https://").replace(str(served.port), str(port))
        with pytest.raises(StorageError) as refused:
            await EventStore.open(url).__aenter__()
        assert not refused.value.transient
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        async with EventStore.open(url) as store:
            await store.append("a/1", some(2))
            assert data(await collect(store.read(streams="a/"))) == [0, 1]
