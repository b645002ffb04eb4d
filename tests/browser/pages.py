"""What a reader does with the console, and what is on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait
from support.rule_events import definition_data

from eventstore import NewEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anyio.from_thread import BlockingPortal
    from server.conftest import Server

PATIENCE = 120
"""Seconds until a condition that never holds fails the test: far more than a busy machine takes."""


class Console:
    """One browser and one server; ``run`` calls the store."""

    def __init__(self, driver: Any, portal: BlockingPortal, server: Server) -> None:
        self.driver = driver
        self.server = server
        self.store = server.store
        self._portal = portal
        self._expected: list[str] = []

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what an async function gives."""
        return self._portal.call(function, *args)

    def expect(self, text: str) -> None:
        """Let the browser say something that has this text."""
        self._expected.append(text)

    def expects(self, message: str) -> bool:
        """Whether the test has said that the browser would say this."""
        return any(text in message for text in self._expected)

    def append(self, stream: str, *events: NewEvent) -> None:
        """Append events."""
        self.run(self.store.append, stream, list(events))

    def define(self, *ids: str, content: str = "", **fields: Any) -> None:
        """Define rules."""
        for one in ids:
            text = content or f"rule_id: {one}\n"
            data = definition_data(one, f"{one}.yml", text.encode(), **fields)
            self.append(f"rule/{one}", NewEvent("RuleDefined", data))

    def token(self, *scopes: str, name: str = "op", streams: Iterable[str] = ()) -> str:
        """Return a new token, once the server knows it."""

        async def make() -> str:
            async with await self.server.client(*scopes, name=name, streams=streams) as client:
                return client.headers["authorization"].removeprefix("Bearer ")

        made: str = self.run(make)
        return made

    def open(self, page: str = "") -> None:
        """Open a page by its address, as a link from elsewhere does."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.server.url}/#/{page}")

    def open_rule(self, rule_id: str) -> None:
        """Open a rule's page."""
        self.open(f"rules/{quote(rule_id, safe='')}")
        self.until(lambda: self.text("h1") == rule_id)

    def sign_in(self, *scopes: str) -> None:
        """Sign in by a new token, which the page is given as a reader would give it."""
        secret = self.token(*scopes or ("read",))
        self.open()
        self.find("#token").send_keys(secret)
        self.press("Sign in")
        self.until(lambda: self.all("header button"))

    def all(self, css: str) -> list[Any]:
        """Return the elements of a selector."""
        found: list[Any] = self.driver.find_elements(By.CSS_SELECTOR, css)
        return found

    def find(self, css: str) -> Any:
        """Return the first element of a selector, once it is there."""
        return self.until(lambda: self.all(css))[0]

    def text(self, css: str = "main") -> str:
        """Return what a reader sees of the first element of a selector."""
        found = self.all(css)
        return found[0].text if found else ""

    def texts(self, css: str) -> list[str]:
        """Return what a reader sees of each element of a selector."""
        return [one.text for one in self.all(css)]

    def choose(self, css: str, value: str) -> None:
        """Choose an option."""
        Select(self.find(css)).select_by_value(value)

    def write(self, css: str, text: str) -> None:
        """Write a text into a field in the place of what it has."""
        field = self.find(css)
        field.clear()
        field.send_keys(text)

    def press(self, label: str) -> None:
        """Press the button with a label."""
        self.until(lambda: [one for one in self.all("button") if one.text == label])[0].click()

    def unfold(self, summary: str) -> None:
        """Open the first fold with this summary."""
        self.until(lambda: [one for one in self.all("summary") if one.text == summary])[0].click()

    def script(self, code: str, *args: Any) -> Any:
        """Return what a script gives."""
        return self.driver.execute_script(code, *args)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Return what a condition gives once it holds, reading a page that changes again."""
        from selenium.common.exceptions import StaleElementReferenceException

        waiting = WebDriverWait(
            self.driver, PATIENCE, 0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        return waiting.until(lambda _: condition())
