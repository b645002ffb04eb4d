"""A schema and random statements on SQLite: conflict clauses, cascades, triggers, any type."""

from __future__ import annotations

from hypothesis import strategies as st

SCHEMA = """
CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT UNIQUE, amount REAL, any_thing);
CREATE TABLE pair (
    "order" INTEGER, "group" TEXT COLLATE NOCASE, number INTEGER, ref INTEGER,
    twice INTEGER GENERATED ALWAYS AS (number * 2) STORED, shout AS (upper("group")),
    PRIMARY KEY ("order", "group"), UNIQUE (number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX pair_ref ON pair (ref) WHERE ref > 0;
CREATE TABLE tree (
    id TEXT PRIMARY KEY, parent TEXT REFERENCES tree (id) ON DELETE CASCADE ON UPDATE CASCADE,
    owner INTEGER REFERENCES plain (id) ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE TABLE audited (id INTEGER PRIMARY KEY AUTOINCREMENT, value, changes INTEGER DEFAULT 0);
CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT, value);
CREATE TRIGGER audit_insert AFTER INSERT ON audited BEGIN
    INSERT INTO audit (what, value) VALUES ('new', NEW.value);
    UPDATE audited SET changes = changes + 1 WHERE id = NEW.id;
END;
CREATE TRIGGER audit_before BEFORE UPDATE OF value ON audited BEGIN
    INSERT INTO audit (what, value) VALUES ('old', OLD.value);
    DELETE FROM audit WHERE id < (SELECT max(id) FROM audit) - 5;
END;
CREATE TRIGGER audit_delete AFTER DELETE ON audited BEGIN
    INSERT OR REPLACE INTO audit (id, what, value) VALUES (1, 'gone', OLD.value);
END;
CREATE TRIGGER plain_first BEFORE INSERT ON plain WHEN NEW.name = 'b' BEGIN
    UPDATE plain SET amount = 7 WHERE name = 'b';
    DELETE FROM plain WHERE name = 'a';
END;
INSERT INTO plain VALUES (0, 'x', 0.5, NULL), (1, 'b', 1, 1), (2, 'c', 2, x'02'), (3, 'A', 3, 3);
INSERT INTO pair ("order", "group", number, ref) VALUES
    (1, 'a', 1, 1), (2, 'b', 2, 2), (3, 'c', 3, 0);
INSERT INTO tree VALUES ('a', 'a', 1), ('b', 'a', 2), ('c', 'b', NULL);
INSERT INTO audited (value) VALUES (1), ('x'), (NULL);
"""

small = st.integers(-1, 4)
values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.binary(max_size=4),
    st.sampled_from(["", "\0", "a\0b", "1", "1.0", "1e3", 0, 1, 1.0, -0.0, 2**53 + 1]),
)
names = st.sampled_from(["a", "b", "c", "A", "", None])
keys = st.sampled_from(["a", "b", "c", "A", "B"])
how = st.sampled_from(["", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR ABORT", "OR ROLLBACK"])

statements = st.one_of(
    st.tuples(
        how.map(
            lambda h: f"INSERT {h} INTO plain (id, name, amount, any_thing) VALUES (?, ?, ?, ?)"
        ),
        st.tuples(st.one_of(st.none(), small), names, values, values),
    ),
    st.tuples(
        how.map(lambda h: f'INSERT {h} INTO pair ("order", "group", number, ref) VALUES (?,?,?,?)'),
        st.tuples(small, keys, small, small),
    ),
    st.tuples(
        how.map(lambda h: f"INSERT {h} INTO tree VALUES (?, ?, ?)"),
        st.tuples(keys, st.one_of(st.none(), keys), st.one_of(st.none(), small)),
    ),
    st.tuples(
        how.map(lambda h: f"INSERT {h} INTO audited (id, value) VALUES (?, ?)"),
        st.tuples(st.one_of(st.none(), small), values),
    ),
    st.tuples(how.map(lambda h: f"UPDATE {h} plain SET id = ?, name = ? WHERE id = ?"),
              st.tuples(small, names, small)),
    st.tuples(how.map(lambda h: f"UPDATE {h} plain SET amount = ?, any_thing = ? WHERE id <= ?"),
              st.tuples(values, values, small)),
    st.tuples(how.map(lambda h: f"UPDATE {h} plain SET id = id + ?"), st.tuples(small)),
    st.tuples(
        how.map(
            lambda h: f'UPDATE {h} pair SET "order" = ?, "group" = ?, ref = ? WHERE number = ?'
        ),
        st.tuples(small, keys, small, small),
    ),
    st.tuples(how.map(lambda h: f"UPDATE {h} pair SET number = number + ?"), st.tuples(small)),
    st.tuples(how.map(lambda h: f"UPDATE {h} tree SET id = ?, parent = ? WHERE id = ?"),
              st.tuples(keys, st.one_of(st.none(), keys), keys)),
    st.tuples(how.map(lambda h: f"UPDATE {h} audited SET value = ?, id = id + ?"),
              st.tuples(values, small)),
    st.tuples(st.just("DELETE FROM plain WHERE id = ?"), st.tuples(small)),
    st.tuples(st.just("DELETE FROM pair WHERE number > ?"), st.tuples(small)),
    st.tuples(st.just("DELETE FROM tree WHERE id = ?"), st.tuples(keys)),
    st.tuples(st.just("DELETE FROM audited WHERE id < ?"), st.tuples(small)),
    st.tuples(
        st.just(
            "INSERT INTO plain (id, name, amount) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
            "SET amount = excluded.amount, id = excluded.id"
        ),
        st.tuples(st.one_of(st.none(), small), names, values),
    ),
    st.tuples(
        st.just(
            'INSERT INTO pair ("order", "group", number) VALUES (?, ?, ?) '
            'ON CONFLICT ("order", "group") DO UPDATE SET number = number + 1 '
            "ON CONFLICT (number) DO NOTHING"
        ),
        st.tuples(small, keys, small),
    ),
    st.tuples(
        st.just("REPLACE INTO plain (id, name) SELECT id + ?, name FROM plain WHERE true"),
        st.tuples(small),
    ),
    st.tuples(
        st.just("INSERT INTO audited (value) VALUES (?) RETURNING id, value"), st.tuples(values)
    ),
    st.tuples(st.just("WITH x (v) AS (SELECT ?) UPDATE audited SET value = (SELECT v FROM x)"),
              st.tuples(values)),
    st.tuples(
        st.sampled_from(
            ["SAVEPOINT one", "ROLLBACK TO one", "RELEASE one", "COMMIT", "BEGIN", "ROLLBACK",
             "SELECT * FROM plain", "PRAGMA defer_foreign_keys=ON"]
        ),
        st.just(()),
    ),
)  # fmt: skip
