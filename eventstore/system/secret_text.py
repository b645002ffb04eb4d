"""Messages that may quote a URL or a connection string: shown without the password.

What a user has given is quoted by many: parsers of arguments, drivers, the system's own errors,
in part or as a Python literal. :class:`Secrets` knows what was given, and leaves out the
parts that are secret. :func:`conceal` leaves out what looks like a secret in any text.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, unquote_plus

from eventstore.system.secret_url import HIDDEN, SecretUrl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST: Final = 2
"""Characters of a password that is found where it stands alone; a shorter one is any letter."""

SHORTEST_PART: Final = 4
"""Characters of a part of a password that is looked for: drivers cut a URL at its delimiters."""

_NAMES: Final = r"(?:\w*password|passwd|pwd|passphrase|\w*secret|\w*token)"

_USER: Final = re.compile(r"(?s)(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*:/+).*")
"""A URL, with a path's one slash or with two, to the end of a text."""

_CUT: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{0,40}://[^\s/?#@:\[\]]*:)(?!\d+(?:[^\w]|$)|\d*(?:[/?#,'\")\]]|$))\S+"
)
"""A URL whose host is followed by what is no port: it was cut off before its ``@``."""

_BARE: Final = re.compile(r"(?<!\S)(['\"(\[]?)[^\s:'\"(\[]+:[^\s/:][^\s:]*@(?=\S)")
"""A user and a password without a scheme."""

_PARAMETER: Final = re.compile(
    rf"(?i)\b({_NAMES})(\s*[=]\s*|%3d)('(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?|[^\s&'\";,)\]]+)"
)
_USER_PARAMETER: Final = re.compile(r"(?i)([?&]user=)([^\s&'\"]+)")


_WORD: Final = re.compile(r"\S+")


def _without_user(word: re.Match[str]) -> str:
    """Leave out what stands before the last ``@`` of a URL."""
    before, at, after = word[0].rpartition("@")
    return _USER.sub(rf"\1{HIDDEN}", before) + at + after


def conceal(text: str) -> str:
    """Return a text without users and passwords of URLs, and without passwords of parameters.

    The time is proportional to the length of any text.
    """
    if ":/" in text:
        text = _WORD.sub(_without_user, text)
        text = _CUT.sub(rf"\1{HIDDEN}", text)
        text = _USER_PARAMETER.sub(rf"\1{HIDDEN}", text)
    if "=" in text or "%3" in text:
        text = _PARAMETER.sub(rf"\1\2{HIDDEN}", text)
    return text


_WITH_USER: Final = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:(?://|(?=[^\s/]*:))(.*)@", re.DOTALL)
_ONLY_USER: Final = re.compile(r"/*([^\s{}\"']*:[^\s{}\"']*)@[^\s@]*")
_WITHOUT_AT: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#:@\[\]]*:([^/?#,]*)")


class Secrets:
    """The secrets in texts that were given: arguments, variables, settings."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._words: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, given: Iterable[str]) -> None:
        """Find the secrets in texts, of which each may be a URL or a connection string."""
        for text in given:
            for part in (text, text.partition("=")[2]):  # As in --url=URL.
                self._learn(part)
        words = sorted(self._words, key=len, reverse=True)
        alone = "|".join(map(re.escape, words))
        self._pattern = re.compile(rf"(?<!\w)(?:{alone})(?!\w)") if words else None

    def learn_word(self, word: str) -> None:
        """Take a text that is secret as a whole, such as a key."""
        if len(word) >= SHORTEST:
            self._words.update(_spellings(word))

    def _learn(self, text: str) -> None:
        secrets = list(_passwords(text))
        if not secrets:
            return
        shown = str(SecretUrl(text)) if "://" in text else conceal(text)
        for spelling in (text, repr(text)[1:-1], str(PurePath(text))):
            self._texts[spelling] = shown
        for secret in secrets:
            self.learn_word(secret)
            for part in re.split(r"[@:/?#&\s]", f"{secret} {unquote(secret)}"):
                if len(part) >= SHORTEST_PART:
                    self._words.update(_spellings(part))

    def conceal(self, text: str) -> str:
        """Return a text without what is secret of what was given, or looks secret."""
        for given, shown in self._texts.items():
            text = text.replace(given, shown)
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        return _BARE.sub(rf"\1{HIDDEN}@", conceal(text))

    def conceal_all(self, value: Any) -> Any:
        """Return JSON-ready values with every text concealed, keys included."""
        if isinstance(value, str):
            return self.conceal(value)
        if isinstance(value, dict):
            return {self.conceal_all(key): self.conceal_all(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.conceal_all(one) for one in value]
        return value


def _passwords(text: str) -> Iterator[str]:
    """Yield what may be a password in a URL or in a connection string."""
    if found := _WITH_USER.match(text) or _ONLY_USER.fullmatch(text):
        yield found[1].partition(":")[2] or found[1]
    elif (found := _WITHOUT_AT.match(text)) and not found[1].isdecimal():
        yield found[1]
    for *_, value in (*_PARAMETER.findall(text), *_USER_PARAMETER.findall(text)):
        yield value.strip("'\"")


def _spellings(secret: str) -> set[str]:
    plain = {secret, unquote(secret), unquote_plus(secret)}
    shown = plain | {repr(one)[1:-1] for one in plain}
    return {one for one in shown if len(one) >= SHORTEST}
