-- Accounts: owners, their accounts, what was moved between them.
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    owner_id INTEGER NOT NULL REFERENCES owner (id) ON DELETE CASCADE ON UPDATE CASCADE,
    cents INTEGER NOT NULL CHECK (cents >= 0),
    euros REAL GENERATED ALWAYS AS (cents / 100.0) STORED
);
CREATE TABLE move (
    uid TEXT PRIMARY KEY NOT NULL,
    source INTEGER REFERENCES account (id) ON DELETE SET NULL,
    target INTEGER REFERENCES account (id) ON DELETE SET NULL,
    cents INTEGER NOT NULL
);
INSERT INTO owner VALUES (1, 'ana'), (2, 'ben'), (3, 'cai'), (4, 'dee');
INSERT INTO account (id, owner_id, cents)
VALUES (1, 1, 100000), (2, 2, 100000), (3, 3, 100000), (4, 4, 100000);
