-- The log: interned stream names, events, one head row, named consumers, and the rules that
-- keep events as they are. Texts are compared by their bytes, as everywhere else in the log.

CREATE TABLE head (
    one SMALLINT NOT NULL PRIMARY KEY,
    schema_version INTEGER NOT NULL,
    log_id TEXT NOT NULL,
    first_position BIGINT NOT NULL,
    position BIGINT NOT NULL,
    recorded_us BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT head_has_one_row CHECK (one = 1)
) WITH (fillfactor = 10);

CREATE TABLE stream (
    id BIGINT NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    version BIGINT NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE consumer (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    epoch BIGINT NOT NULL,
    owner TEXT NOT NULL,
    seen_us BIGINT NOT NULL
) WITH (fillfactor = 50);

-- stream_id has no foreign key: streams are never deleted and each append reads them in its
-- own transaction, while the check would cost every event a lookup and a lock.
CREATE TABLE event (
    position BIGINT NOT NULL PRIMARY KEY,
    stream_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    id BYTEA NOT NULL UNIQUE,
    type TEXT COLLATE "C" NOT NULL,
    commit_position BIGINT NOT NULL,
    content SMALLINT NOT NULL,
    data BYTEA,
    metadata BYTEA,
    recorded_us BIGINT NOT NULL,
    salt BYTEA,
    digest BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT event_stream_version UNIQUE (stream_id, version),
    CONSTRAINT event_redacted_whole
        CHECK ((data IS NULL) = (salt IS NULL) AND (data IS NULL) = (metadata IS NULL))
);

CREATE FUNCTION log_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$;

-- Redaction erases content and keeps the rest; everything else about an event stays.
CREATE TRIGGER event_immutable BEFORE UPDATE ON event FOR EACH ROW
    WHEN (NOT (NEW.data IS NULL AND NEW.metadata IS NULL AND NEW.salt IS NULL
      AND NEW.position = OLD.position AND NEW.stream_id = OLD.stream_id
      AND NEW.version = OLD.version AND NEW.id = OLD.id AND NEW.type = OLD.type
      AND NEW.commit_position = OLD.commit_position AND NEW.content = OLD.content
      AND NEW.recorded_us = OLD.recorded_us AND NEW.digest = OLD.digest
      AND NEW.hash = OLD.hash))
    EXECUTE FUNCTION log_refuses('events are immutable');

-- Trimming raises the first position before it deletes what lies below.
CREATE FUNCTION event_kept() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF OLD.position >= (SELECT first_position FROM head) THEN
        RAISE EXCEPTION 'events are never deleted'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER event_kept BEFORE DELETE ON event FOR EACH ROW EXECUTE FUNCTION event_kept();

-- Positions have no holes and the key is unique, so an insert can only go past the head, or
-- below what was trimmed: one look per statement, because a trigger per row would cost a
-- batch a third of its speed.
CREATE FUNCTION event_appended() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
    IF (SELECT min(position) FROM event) < (SELECT first_position FROM head) THEN
        RAISE EXCEPTION 'events are only appended'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER event_appended AFTER INSERT ON event EXECUTE FUNCTION event_appended();

CREATE TRIGGER head_forward BEFORE UPDATE ON head FOR EACH ROW
    WHEN (NEW.position < OLD.position OR NEW.log_id <> OLD.log_id
      OR NEW.first_position < OLD.first_position)
    EXECUTE FUNCTION log_refuses('the head only moves forward');

CREATE TRIGGER head_kept BEFORE DELETE ON head FOR EACH ROW
    EXECUTE FUNCTION log_refuses('the head is never deleted');

-- A stream's name is part of its events.
CREATE TRIGGER stream_named BEFORE UPDATE ON stream FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.name <> OLD.name OR NEW.version < OLD.version)
    EXECUTE FUNCTION log_refuses('streams keep their names');

CREATE TRIGGER stream_kept BEFORE DELETE ON stream FOR EACH ROW
    EXECUTE FUNCTION log_refuses('streams are never deleted');

-- TRUNCATE fires no row triggers.
CREATE TRIGGER event_whole BEFORE TRUNCATE ON event
    EXECUTE FUNCTION log_refuses('events are never deleted');

CREATE TRIGGER head_whole BEFORE TRUNCATE ON head
    EXECUTE FUNCTION log_refuses('the head is never deleted');

CREATE TRIGGER stream_whole BEFORE TRUNCATE ON stream
    EXECUTE FUNCTION log_refuses('streams are never deleted');
