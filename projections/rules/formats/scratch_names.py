"""Names of temporary and backup files: the one table of files that are never rules.

A master ignores these files for every format and pattern of a source, and counts them. Copies
that a person has to decide about (``rule (conflicted copy).yml`` of Dropbox,
``rule.sync-conflict-….yml`` of Syncthing) are not among them: they are judged as rules.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple


class ScratchNames(NamedTuple):
    """Base names of one kind: what they are, and a pattern of the whole name."""

    what: str
    pattern: str


SCRATCH_NAMES: Final = (
    # Also .git, Kubernetes' ..data, swap files of vim and nano, emacs' locks, partial files of
    # rsync, Syncthing, Nextcloud and Unison, .DS_Store, ._x of macOS, .nfs…, .fuse_hidden….
    ScratchNames("is hidden", r"\..*"),
    ScratchNames(
        "is a backup",
        r".*~"  # vim, emacs (x.~1~ too), gedit, Kate
        r"|(?i:.*\.(?:bak|bck|backup|old|orig|sav|save(?:\.\d+)?))"  # sed -i.bak, patch, nano
        r"|.*___jb_bak___",
    ),
    ScratchNames(
        "is a scratch file of an editor",
        r"#.*#"  # emacs' auto-save
        r"|4913"  # vim tests with this name whether it may write to the folder
        r"|(?i:.*\.(?:sw[a-p]|kate-swp|vsctmp))"
        r"|.*___jb_(?:tmp|old)___"  # JetBrains' safe write
        r"|~\$.*|(?i:~.*\.tmp)",  # Microsoft Office
    ),
    ScratchNames(
        "is a temporary file",
        r"(?i:.*\.(?:tmp|temp)(?:[.-]?\d+)*|.*\.tmp[.-][0-9a-z]{6,})"
        r"|sed(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{6}"  # sed -i
        r"|nohup\.out|core\.\d+",  # left by shells
    ),
    ScratchNames(
        "is an unfinished transfer",
        r"(?i:.*\.(?:part\d*|filepart|partial|crdownload|download|opdownload|aria2|ytdl"
        r"|lftp-pget-status|!ut|!qb|unison\.tmp))",
    ),
    ScratchNames(
        "is kept by a package manager",
        r".*\.(?:dpkg-(?:new|old|dist|tmp|bak|backup|remove|divert)|ucf-(?:new|old|dist)"
        r"|rpm(?:new|save|orig)|pac(?:new|save(?:\.\d+)?|orig)|apk-new)",
    ),
    ScratchNames(
        "is left by a version control tool",
        r".*\.rej|.*\.\w+\.(?:mine|r\d+)"  # patch, Subversion
        r"|.*_(?:BACKUP|BASE|LOCAL|REMOTE)_\d+(?:\..*)?",  # git mergetool
    ),
    ScratchNames("is made by a file manager", r"(?i:thumbs\.db|ehthumbs\.db|desktop\.ini|icon\r)"),
)
"""Every kind of file; the first that fits says what a file is. All but a few ignore case."""

SYSTEM_FOLDERS: Final = frozenset(
    {
        "lost+found",
        "$recycle.bin",
        "system volume information",
        "__macosx",
        "@eadir",
        "#recycle",
        "#snapshot",
        "~tmp~",
    }
)
"""Folders that file systems and storage devices keep for themselves, in lower case."""

_NAMES: Final = re.compile(
    "|".join(f"(?P<kind{number}>{kind.pattern})" for number, kind in enumerate(SCRATCH_NAMES)),
    re.DOTALL,
)


@lru_cache(maxsize=16_384)
def scratch_kind(name: str) -> str | None:
    """Return the kind of temporary or backup file that a base name belongs to; None for none."""
    found = _NAMES.fullmatch(name)
    if found is None or found.lastgroup is None:
        return None
    return SCRATCH_NAMES[int(found.lastgroup.removeprefix("kind"))].what


def ignored_folder(name: str) -> str | None:
    """Return why nothing below a folder of this base name is looked at; None where it is."""
    if name.startswith("."):
        return "is hidden"
    return "is kept by the system" if name.lower() in SYSTEM_FOLDERS else None
