"""People at work on a directory of rules: every way to save, move, break and mend a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from support.chaos_model import Script, Standing, Text, write_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from random import Random

FOLDERS: Final = 5
FILES: Final = 60


class Editor:
    """Edits the files below ``root`` as ``dice`` say, and keeps the script of it.

    ``logged`` returns once the log says of a rule what is given to it.
    """

    def __init__(
        self,
        root: Path,
        script: Script,
        dice: Random,
        logged: Callable[[str, Standing], Awaitable[None]],
    ) -> None:
        self._root = root
        self.script = script
        self._dice = dice
        self._logged = logged
        self._number = 0
        self.kinds: dict[str, int] = {}

    def begin(self) -> None:
        """Fill the directory."""
        for number in range(FILES):
            self._save(f"d{number % FOLDERS}/r{number}.yml", self._text(self._fresh_id()))
        self.script.settled()

    async def edit(self) -> None:
        """Do one thing at random."""
        few = len(self._free()) < FILES // 2
        kind = self._dice.choice((Editor.add, Editor.mend) if few else KINDS)
        if await kind(self) is not False:
            self.kinds[kind.__name__] = self.kinds.get(kind.__name__, 0) + 1
        self.script.settled()

    async def leave_broken(self) -> None:
        """Break a few files, and have a few ids taken twice, for good."""
        for _ in range(3):
            for kind in (Editor.break_one, Editor.duplicate):
                await kind(self)
                self.script.settled()

    async def change(self) -> None:
        path = self._pick(self._good())
        self._save(path, self._text(self.script.files[path].rule_id))

    async def add(self) -> None:
        self._save(f"d{self._dice.randrange(FOLDERS)}/{self._name()}", self._text(self._fresh_id()))

    async def delete(self) -> None:
        self._remove(self._pick(sorted(self.script.files)))

    async def recreate(self) -> None:
        path = self._pick(self._free())
        text = self._text(self.script.files[path].rule_id)
        self._remove(path)
        self._save(path, text)

    async def rename(self) -> None:
        old = self._pick(self._free())
        self._move({old: f"{old.rpartition('/')[0]}/{self._name()}"})

    async def move_folder(self) -> bool:
        folders = sorted({path.partition("/")[0] for path in self.script.files})
        old, new = self._pick(folders), f"f{self._next()}"
        inside = [path for path in self.script.files if path.startswith(f"{old}/")]
        if self.script.contested & set(inside):
            return False
        (self._root / old).rename(self._root / new)
        self.script.moved({path: path.replace(old, new, 1) for path in inside})
        return True

    async def check_out(self) -> None:
        lock = self._root / ".git" / "index.lock"
        lock.parent.mkdir(exist_ok=True)
        lock.touch()
        for path in self._dice.sample(self._good(), len(self._good()) // 2):
            self._save(path, self._text(self.script.files[path].rule_id))
        lock.unlink()

    async def change_id(self) -> None:
        self._save(self._pick(self._free()), self._text(self._fresh_id()))

    async def swap_ids(self) -> None:
        one, other = self._dice.sample(self._free(), 2)
        first, second = self.script.files[one].rule_id, self.script.files[other].rule_id
        self._save(one, self._text(second))
        self._save(other, self._text(first))

    async def break_one(self) -> None:
        path = self._pick(self._good())
        await self._known(path)
        self._save(path, self._text(None))

    async def mend(self) -> bool:
        """Save a good file in the place of one that is rejected."""
        if not (paths := sorted(self.script.rejected)):
            return False
        path = self._pick(paths)
        before = [rule_id for rule_id, rule in self.script.rules.items() if rule.path == path]
        self._save(path, self._text(before[0] if before else self._fresh_id()))
        return True

    async def duplicate(self) -> None:
        owner, path = self._dice.sample(self._free(), 2)
        await self._known(owner)
        if self._dice.random() < 0.5:
            path = f"d{self._dice.randrange(FOLDERS)}/{self._name()}"
        else:
            await self._known(path)
        self._save(path, self._text(self.script.files[owner].rule_id))

    async def inherit(self) -> bool:
        """Delete a file whose id another one claims: that one has it from now on."""
        if not (paths := sorted(self.script.contested)):
            return False
        self._remove(self._pick(paths))
        return True

    async def _known(self, path: str) -> None:
        text = self.script.files[path]
        assert text.rule_id is not None
        await self._logged(text.rule_id, Standing(path, text))

    def _good(self) -> list[str]:
        return sorted(self.script.files.keys() - self.script.rejected.keys())

    def _free(self) -> list[str]:
        """Return the good files that no other file contests: those may be gone for a moment."""
        return sorted(set(self._good()) - self.script.contested)

    def _pick(self, paths: list[str]) -> str:
        return self._dice.choice(paths)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _fresh_id(self) -> str:
        return f"R{self._next():05}"

    def _name(self) -> str:
        # Never one that was there before, or a master that slept takes one file for another.
        return f"n{self._next()}.yml"

    def _text(self, rule_id: str | None) -> Text:
        return write_text(rule_id, self._next())

    def _save(self, path: str, text: Text) -> None:
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        way = self._dice.randrange(3)
        if way == 0 and file.exists():
            with file.open("r+b", buffering=0) as stream:
                stream.write(text.content.encode())
        elif way == 1:
            os.truncate(file, 0) if file.exists() else file.touch()
            file.write_text(text.content)
        else:
            draft = file.with_name(f".{file.name}.tmp")
            draft.write_text(text.content)
            draft.rename(file)
        self.script.put(path, text)

    def _remove(self, path: str) -> None:
        (self._root / path).unlink()
        self.script.gone(path)

    def _move(self, paths: dict[str, str]) -> None:
        for old, new in paths.items():
            (self._root / old).rename(self._root / new)
        self.script.moved(paths)


KINDS: Final = (
    *(Editor.change, Editor.change, Editor.add, Editor.delete, Editor.recreate, Editor.rename),
    *(Editor.move_folder, Editor.check_out, Editor.change_id, Editor.swap_ids),
    *(Editor.break_one, Editor.break_one, Editor.mend, Editor.mend),
    *(Editor.duplicate, Editor.inherit),
)
