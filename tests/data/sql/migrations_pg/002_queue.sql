-- A queue of tasks: claimed, retried, done; the count of each state is kept by a trigger.
CREATE TABLE task (
    id BIGSERIAL PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'ready',
    worker TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    payload BYTEA
);
CREATE TABLE task_count (state TEXT PRIMARY KEY, n INTEGER NOT NULL);
INSERT INTO task_count VALUES ('done', 0), ('ready', 0), ('running', 0);
CREATE FUNCTION task_counted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was TEXT := CASE WHEN TG_OP <> 'INSERT' THEN OLD.state END;
    now_is TEXT := CASE WHEN TG_OP <> 'DELETE' THEN NEW.state END;
BEGIN
    IF was IS DISTINCT FROM now_is THEN
        -- One statement, in the order of the states: two that wait for each other cannot be.
        PERFORM 1 FROM task_count WHERE state IN (was, now_is) ORDER BY state FOR UPDATE;
        UPDATE task_count SET n = n + (state IS NOT DISTINCT FROM now_is)::int
            - (state IS NOT DISTINCT FROM was)::int WHERE state IN (was, now_is);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER task_counted AFTER INSERT OR UPDATE OR DELETE ON task
FOR EACH ROW EXECUTE FUNCTION task_counted();
