-- History can be trimmed and a whole log imported. `base_hash` is the chain's hash before the
-- first position (NULL: nothing was ever trimmed). `kept` holds what views still need of a
-- trimmed prefix: the event's row, and the hash before it, so that each can be verified.

ALTER TABLE head ADD COLUMN base_hash BYTEA;

CREATE TABLE kept (
    position BIGINT NOT NULL PRIMARY KEY,
    stream_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    id BYTEA NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    commit_position BIGINT NOT NULL,
    content SMALLINT NOT NULL,
    data BYTEA,
    metadata BYTEA,
    recorded_us BIGINT NOT NULL,
    salt BYTEA,
    digest BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    previous BYTEA NOT NULL,
    CONSTRAINT kept_redacted_whole
        CHECK ((data IS NULL) = (salt IS NULL) AND (data IS NULL) = (metadata IS NULL))
);

CREATE TRIGGER kept_immutable BEFORE UPDATE ON kept FOR EACH ROW
    WHEN (NOT (NEW.data IS NULL AND NEW.metadata IS NULL AND NEW.salt IS NULL
      AND NEW.position = OLD.position AND NEW.stream_id = OLD.stream_id
      AND NEW.version = OLD.version AND NEW.id = OLD.id AND NEW.type = OLD.type
      AND NEW.commit_position = OLD.commit_position AND NEW.content = OLD.content
      AND NEW.recorded_us = OLD.recorded_us AND NEW.digest = OLD.digest
      AND NEW.hash = OLD.hash AND NEW.previous = OLD.previous))
    EXECUTE FUNCTION log_refuses('events are immutable');

-- Only an event that the log itself does not hold any more is kept.
CREATE FUNCTION kept_below() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.position >= (SELECT first_position FROM head) THEN
        RAISE EXCEPTION 'only trimmed events are kept'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER kept_below BEFORE INSERT ON kept FOR EACH ROW EXECUTE FUNCTION kept_below();

-- An empty log may take on the identity of the one that is imported into it.
DROP TRIGGER head_forward ON head;

CREATE TRIGGER head_forward BEFORE UPDATE ON head FOR EACH ROW
    WHEN (NEW.position < OLD.position OR NEW.first_position < OLD.first_position
      OR (NEW.log_id <> OLD.log_id AND OLD.position > 0))
    EXECUTE FUNCTION log_refuses('the head only moves forward');
