"""A schema and random statements on PostgreSQL: its types, cascades, triggers and sequences."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'fine');
CREATE TABLE plain (
    id BIGINT PRIMARY KEY, name TEXT UNIQUE, f DOUBLE PRECISION,
    g REAL, n NUMERIC, b BYTEA, j JSONB, k JSON, m mood, a TEXT[], t TIMESTAMPTZ, d DATE,
    i INTERVAL, c CHAR(3), v VARCHAR(4), u UUID, ok BOOLEAN, "per%cent" INT,
    twice BIGINT GENERATED ALWAYS AS (id * 2) STORED
);
CREATE TABLE tree (
    id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree ON DELETE CASCADE ON UPDATE CASCADE,
    owner BIGINT REFERENCES plain ON DELETE SET NULL ON UPDATE CASCADE
        DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE serial (id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n INTEGER);
CREATE TABLE tally (kind TEXT PRIMARY KEY, n BIGINT NOT NULL);
CREATE FUNCTION tallied() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO tally VALUES (TG_OP || TG_TABLE_NAME, 1)
        ON CONFLICT (kind) DO UPDATE SET n = tally.n + 1;
    IF TG_OP = 'INSERT' THEN UPDATE serial SET n = coalesce(n, 0) + 1; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER aaa AFTER INSERT OR DELETE ON serial FOR EACH ROW EXECUTE FUNCTION tallied();
CREATE FUNCTION renamed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.name = 'c' THEN RETURN NULL; END IF;
    NEW.v := left(NEW.name, 4); RETURN NEW;
END $$;
CREATE TRIGGER zzz BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION renamed();
INSERT INTO plain (id, name) VALUES (1, 'a'), (2, 'b');
INSERT INTO tree VALUES (1, 1, 1), (2, 1, 2), (3, 2, NULL);
INSERT INTO serial (n) VALUES (1), (NULL);
"""

small = st.integers(-1, 4)
names = st.sampled_from(["a", "b", "c", "?", "%s", "é", None])
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
columns = {
    "f": st.floats(), "g": st.floats(width=32), "b": st.binary(max_size=4),
    "n": st.decimals(allow_nan=True, allow_infinity=False, places=3),
    "m": st.sampled_from(["sad", "fine", None]), "a": st.lists(st.one_of(texts, st.none())),
    "j": st.sampled_from(['{"a": [1.10, null]}', "null", '"x"', None]),
    "k": st.sampled_from(['{"a":  1, "a": 2}', "null", '"x"', None]),
    "t": st.datetimes(), "d": st.dates(), "i": st.sampled_from(["1 mon -3 days 00:00:00.000001"]),
    "c": st.sampled_from(["a", "abc", "  "]), "u": st.uuids(), "ok": st.booleans(),
    "per%cent": st.integers(-9, 9), "name": texts,
}  # fmt: skip


@st.composite
def set_column(draw: st.DrawFn) -> tuple[str, tuple[Any, ...]]:
    name = draw(st.sampled_from(sorted(columns)))
    return f'UPDATE plain SET "{name}" = ? WHERE id = ?', (draw(columns[name]), draw(small))


UPSERT = (
    "INSERT INTO plain (id, name) VALUES (?, ?) "
    "ON CONFLICT (id) DO UPDATE SET id = plain.id + 1, name = excluded.name"
)
statements = st.one_of(
    set_column(),
    st.tuples(
        st.sampled_from(
            ["INSERT INTO plain (id, name) VALUES (?, ?)",
             "INSERT INTO plain (id, name) VALUES (?, ?) ON CONFLICT DO NOTHING",
             UPSERT]
        ),
        st.tuples(small, names),
    ),
    st.tuples(st.just("UPDATE plain SET id = id + ?"), st.tuples(small)),
    st.tuples(st.just("DELETE FROM plain WHERE id = ?"), st.tuples(small)),
    st.tuples(st.just("INSERT INTO tree VALUES (?, ?, ?)"), st.tuples(small, small, small)),
    st.tuples(st.just("UPDATE tree SET id = ?, up = ? WHERE id = ?"),
              st.tuples(small, small, small)),
    st.tuples(st.just("UPDATE tree SET id = id + 10 WHERE id < ?"), st.tuples(small)),
    st.tuples(st.just("DELETE FROM tree WHERE id = ?"), st.tuples(small)),
    st.tuples(st.just("INSERT INTO serial (n) VALUES (?), (?), (?)"),
              st.tuples(small, small, small)),
    st.tuples(st.just("DELETE FROM serial WHERE n > ?"), st.tuples(small)),
    st.tuples(
        st.sampled_from(["SAVEPOINT one", "ROLLBACK TO one", "RELEASE one", "COMMIT", "BEGIN",
                         "SELECT * FROM plain", "SELECT nextval('serial_id_seq')"]),
        st.just(()),
    ),
)  # fmt: skip
