-- History can be trimmed and a whole log imported. `base_hash` is the chain's hash before the
-- first position (NULL: nothing was ever trimmed). `kept` holds what views still need of a
-- trimmed prefix: the event's row, and the hash before it, so that each can be verified.

ALTER TABLE head ADD COLUMN base_hash BLOB;

CREATE TABLE kept (
    position INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    version BIGINT NOT NULL,
    id BLOB NOT NULL,
    type VARCHAR NOT NULL,
    commit_position BIGINT NOT NULL,
    content SMALLINT NOT NULL,
    data BLOB,
    metadata BLOB,
    recorded_us BIGINT NOT NULL,
    salt BLOB,
    digest BLOB NOT NULL,
    hash BLOB NOT NULL,
    previous BLOB NOT NULL,
    PRIMARY KEY (position),
    CONSTRAINT kept_redacted_whole CHECK ((data IS NULL) = (salt IS NULL) AND (data IS NULL) = (metadata IS NULL)),
    FOREIGN KEY(stream_id) REFERENCES stream (id)
);

CREATE TRIGGER kept_immutable BEFORE UPDATE ON kept
    WHEN NOT (NEW.data IS NULL AND NEW.metadata IS NULL AND NEW.salt IS NULL
      AND NEW.position = OLD.position AND NEW.stream_id = OLD.stream_id
      AND NEW.version = OLD.version AND NEW.id = OLD.id AND NEW.type = OLD.type
      AND NEW.commit_position = OLD.commit_position AND NEW.content = OLD.content
      AND NEW.recorded_us = OLD.recorded_us AND NEW.digest = OLD.digest
      AND NEW.hash = OLD.hash AND NEW.previous = OLD.previous)
    BEGIN SELECT RAISE(ABORT, 'events are immutable'); END;

-- Only an event that the log itself does not hold any more is kept.
CREATE TRIGGER kept_below BEFORE INSERT ON kept
    WHEN NEW.position >= (SELECT first_position FROM head)
    BEGIN SELECT RAISE(ABORT, 'only trimmed events are kept'); END;

-- The earliest logs of the first schema were made with fewer rules: each gets all of them.

DROP TRIGGER IF EXISTS event_immutable;

CREATE TRIGGER event_immutable BEFORE UPDATE ON event
    WHEN NOT (NEW.data IS NULL AND NEW.metadata IS NULL AND NEW.salt IS NULL
      AND NEW.position = OLD.position AND NEW.stream_id = OLD.stream_id
      AND NEW.version = OLD.version AND NEW.id = OLD.id AND NEW.type = OLD.type
      AND NEW.commit_position = OLD.commit_position AND NEW.content = OLD.content
      AND NEW.recorded_us = OLD.recorded_us AND NEW.digest = OLD.digest
      AND NEW.hash = OLD.hash)
    BEGIN SELECT RAISE(ABORT, 'events are immutable'); END;

DROP TRIGGER IF EXISTS event_kept;

CREATE TRIGGER event_kept BEFORE DELETE ON event
    WHEN OLD.position >= (SELECT first_position FROM head)
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

DROP TRIGGER IF EXISTS event_appended;

CREATE TRIGGER event_appended BEFORE INSERT ON event
    WHEN NEW.position <= (SELECT position FROM head)
      OR EXISTS (SELECT 1 FROM event WHERE id = NEW.id)
      OR EXISTS (SELECT 1 FROM event WHERE stream_id = NEW.stream_id AND version = NEW.version)
    BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;

DROP TRIGGER IF EXISTS head_forward;

DROP TRIGGER IF EXISTS head_once;

CREATE TRIGGER head_once BEFORE INSERT ON head WHEN EXISTS (SELECT 1 FROM head)
    BEGIN SELECT RAISE(ABORT, 'there is one head'); END;

DROP TRIGGER IF EXISTS stream_named;

CREATE TRIGGER stream_named BEFORE UPDATE ON stream
    WHEN NEW.id <> OLD.id OR NEW.name <> OLD.name OR NEW.version < OLD.version
    BEGIN SELECT RAISE(ABORT, 'streams keep their names'); END;

DROP TRIGGER IF EXISTS stream_kept;

CREATE TRIGGER stream_kept BEFORE DELETE ON stream
    BEGIN SELECT RAISE(ABORT, 'streams are never deleted'); END;

DROP TRIGGER IF EXISTS stream_new;

CREATE TRIGGER stream_new BEFORE INSERT ON stream
    WHEN EXISTS (SELECT 1 FROM stream WHERE id = NEW.id OR name = NEW.name)
    BEGIN SELECT RAISE(ABORT, 'streams are only added'); END;

DROP TRIGGER IF EXISTS head_kept;

CREATE TRIGGER head_kept BEFORE DELETE ON head
    BEGIN SELECT RAISE(ABORT, 'the head is never deleted'); END;

-- An empty log may take on the identity of the one that is imported into it.
CREATE TRIGGER head_forward BEFORE UPDATE ON head
    WHEN NEW.position < OLD.position OR NEW.first_position < OLD.first_position
      OR (NEW.log_id <> OLD.log_id AND OLD.position > 0)
    BEGIN SELECT RAISE(ABORT, 'the head only moves forward'); END;
