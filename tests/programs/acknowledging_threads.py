"""What acknowledging_writer does, with the blocking store, from five threads. Same arguments."""

from __future__ import annotations

import sys
import threading
from itertools import count

from eventstore import StreamWrite
from eventstore.sync import EventStore
from programs.common import say
from programs.numbered_events import numbered_events

SAYING = threading.Lock()


def work(store: EventStore, name: str, begin: str) -> None:
    for number in count():
        new = numbered_events(f"{begin}-{name}", number)
        if name.startswith("many") and len(new) > 1:
            writes = [StreamWrite(f"s/{name}-a", new[:1]), StreamWrite(f"s/{name}-b", new[1:])]
            done = store.append_many(writes)
        else:
            done = store.append(f"s/{name}", new)
        with SAYING:
            say(done.position, *(event.id for event in new))


def main(url: str, begin: str) -> None:
    with EventStore.open(url) as store:
        threads = [
            threading.Thread(target=work, args=(store, name, begin))
            for name in ("one", "two", "three", "many1", "many2")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
