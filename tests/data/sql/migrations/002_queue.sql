-- A queue of tasks: claimed, retried, done; the count of each state is kept by triggers.
CREATE TABLE task (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'ready',
    worker TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    payload BLOB
);
CREATE TABLE task_count (state TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL);
CREATE TRIGGER task_new AFTER INSERT ON task
BEGIN
    INSERT INTO task_count VALUES (NEW.state, 1)
        ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER task_moved AFTER UPDATE OF state ON task WHEN OLD.state <> NEW.state
BEGIN
    UPDATE task_count SET n = n - 1 WHERE state = OLD.state;
    INSERT INTO task_count VALUES (NEW.state, 1)
        ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER task_gone AFTER DELETE ON task
BEGIN
    UPDATE task_count SET n = n - 1 WHERE state = OLD.state;
END;
