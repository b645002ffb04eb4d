-- The log: interned stream names, events, one head row, named consumers, and the rules that
-- keep events as they are.

CREATE TABLE head (
    one SMALLINT NOT NULL,
    schema_version INTEGER NOT NULL,
    log_id VARCHAR NOT NULL,
    first_position BIGINT NOT NULL,
    position BIGINT NOT NULL,
    recorded_us BIGINT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (one),
    CONSTRAINT head_has_one_row CHECK (one = 1)
);

CREATE TABLE stream (
    id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);

CREATE TABLE consumer (
    name VARCHAR NOT NULL,
    position BIGINT NOT NULL,
    hash BLOB NOT NULL,
    epoch BIGINT NOT NULL,
    owner VARCHAR NOT NULL,
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE event (
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
    PRIMARY KEY (position),
    CONSTRAINT event_stream_version UNIQUE (stream_id, version),
    CONSTRAINT event_redacted_whole CHECK ((data IS NULL) = (salt IS NULL) AND (data IS NULL) = (metadata IS NULL)),
    FOREIGN KEY(stream_id) REFERENCES stream (id),
    UNIQUE (id)
);

CREATE TRIGGER event_immutable BEFORE UPDATE ON event
    WHEN NOT (NEW.data IS NULL AND NEW.metadata IS NULL AND NEW.salt IS NULL
      AND NEW.position = OLD.position AND NEW.stream_id = OLD.stream_id
      AND NEW.version = OLD.version AND NEW.id = OLD.id AND NEW.type = OLD.type
      AND NEW.commit_position = OLD.commit_position AND NEW.content = OLD.content
      AND NEW.recorded_us = OLD.recorded_us AND NEW.digest = OLD.digest
      AND NEW.hash = OLD.hash)
    BEGIN SELECT RAISE(ABORT, 'events are immutable'); END;

CREATE TRIGGER event_kept BEFORE DELETE ON event
    WHEN OLD.position >= (SELECT first_position FROM head)
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

CREATE TRIGGER event_appended BEFORE INSERT ON event
    WHEN NEW.position <= (SELECT position FROM head)
      OR EXISTS (SELECT 1 FROM event WHERE id = NEW.id)
      OR EXISTS (SELECT 1 FROM event WHERE stream_id = NEW.stream_id AND version = NEW.version)
    BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;

CREATE TRIGGER head_forward BEFORE UPDATE ON head
    WHEN NEW.position < OLD.position OR NEW.log_id <> OLD.log_id
      OR NEW.first_position < OLD.first_position
    BEGIN SELECT RAISE(ABORT, 'the head only moves forward'); END;

CREATE TRIGGER head_once BEFORE INSERT ON head WHEN EXISTS (SELECT 1 FROM head)
    BEGIN SELECT RAISE(ABORT, 'there is one head'); END;

CREATE TRIGGER stream_named BEFORE UPDATE ON stream
    WHEN NEW.id <> OLD.id OR NEW.name <> OLD.name OR NEW.version < OLD.version
    BEGIN SELECT RAISE(ABORT, 'streams keep their names'); END;

CREATE TRIGGER stream_kept BEFORE DELETE ON stream
    BEGIN SELECT RAISE(ABORT, 'streams are never deleted'); END;

CREATE TRIGGER stream_new BEFORE INSERT ON stream
    WHEN EXISTS (SELECT 1 FROM stream WHERE id = NEW.id OR name = NEW.name)
    BEGIN SELECT RAISE(ABORT, 'streams are only added'); END;

CREATE TRIGGER head_kept BEFORE DELETE ON head
    BEGIN SELECT RAISE(ABORT, 'the head is never deleted'); END;
