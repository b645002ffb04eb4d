"""Which URLs name a server, and that none is shown with its token."""

from __future__ import annotations

import pytest

from eventstore import ConfigError, EventStore
from eventstore.remote.connection import Connection
from eventstore.system.secret_url import SecretUrl

SECRET = "s3cret-Token_1"


@pytest.mark.parametrize(
    "url",
    [
        f"http://{SECRET}@rules.example",
        f"http://{SECRET}@127.0.0.1.example:8080",
        f"http://{SECRET}@192.168.0.1",
        f"https://{SECRET}:word@rules.example",
        f"https://{SECRET}@rules.example?x=1",
        f"https://{SECRET}@rules.example/#x",
        f"https://{SECRET}@",
        f"https://{SECRET}@rules.example:port",
        f"https://{SECRET}%0a@rules.example",
        f"https://a@{SECRET}@rules.example",
        f"https://rules.example/{SECRET}@x",
    ],
)
def test_another_form_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Connection(url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"https://{SECRET}@rules.example",
        f"https://{SECRET}@rules.example:8443/below/",
        f"http://{SECRET}@127.0.0.1:8080",
        f"http://{SECRET}@localhost:8080",
        f"http://{SECRET}@[::1]:8080",
        "https://rules.example",
    ],
)
def test_a_store_shows_its_server_and_no_token(url: str) -> None:
    store = EventStore.open(url)
    assert SECRET not in store.url
    assert store.url == str(SecretUrl(url))
    assert SECRET not in repr(store)


def test_a_path_is_the_prefix_of_every_request() -> None:
    connection = Connection("https://rules.example:8443/below/")
    request = connection._client.build_request("POST", "/v1/store/read")
    assert str(request.url) == "https://rules.example:8443/below/v1/store/read"
    connection.close()
