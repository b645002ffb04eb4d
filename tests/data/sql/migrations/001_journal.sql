-- A journal of facts: appended to, never changed, found by their words.
CREATE TABLE fact (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    weight REAL,
    noted_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE TABLE fact_tag (
    fact_id INTEGER NOT NULL REFERENCES fact (id),
    tag TEXT NOT NULL COLLATE NOCASE,
    PRIMARY KEY (fact_id, tag)
) WITHOUT ROWID;
CREATE TRIGGER fact_stays BEFORE UPDATE ON fact
BEGIN
    SELECT RAISE(ABORT, 'facts are appended; never changed');
END;
CREATE TRIGGER fact_kept BEFORE DELETE ON fact
BEGIN
    SELECT RAISE(ABORT, 'facts are never deleted');
END;
CREATE VIRTUAL TABLE fact_fts USING fts5(body, content='fact', content_rowid='id');
CREATE TRIGGER fact_words AFTER INSERT ON fact
BEGIN
    INSERT INTO fact_fts (rowid, body) VALUES (NEW.id, NEW.body);
END;
