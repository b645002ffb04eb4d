-- The log's two roles. The image of PostgreSQL runs this once, as the superuser and in the log's
-- database, before it accepts other connections: with MASTER_PASSWORD and WORKER_PASSWORD from the
-- service's environment, and it stops at the first error.

\getenv master_password MASTER_PASSWORD
\getenv worker_password WORKER_PASSWORD

-- The master owns the database, and so makes and upgrades the log's tables in it.
CREATE ROLE master LOGIN PASSWORD :'master_password';
ALTER DATABASE :"DBNAME" OWNER TO master;
GRANT CREATE ON SCHEMA public TO master;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;

-- A worker reads, stores its checkpoint as a named consumer, and tells what it has loaded. It can neither append nor change
-- events, so an intruder on its host cannot bring in a rule. A worker that rejects changes has to
-- append the rejections: GRANT INSERT ON event, stream TO worker; GRANT UPDATE ON head, stream TO worker;
CREATE ROLE worker LOGIN PASSWORD :'worker_password';
GRANT CONNECT ON DATABASE :"DBNAME" TO worker;
ALTER DEFAULT PRIVILEGES FOR ROLE master IN SCHEMA public GRANT SELECT ON TABLES TO worker;

-- The master makes the tables at its first start. Then this trigger lets workers write the tables of
-- checkpoints and reports, and lock the head meanwhile, for which the right on one column is enough.
CREATE SCHEMA setup;
GRANT USAGE ON SCHEMA setup TO master;
CREATE FUNCTION setup.let_workers_in() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('public.consumer') IS NOT NULL AND to_regclass('public.head') IS NOT NULL THEN
        GRANT INSERT, UPDATE ON public.consumer TO worker;
        GRANT UPDATE (one) ON public.head TO worker;
    END IF;
    IF to_regclass('public.worker_report') IS NOT NULL THEN
        GRANT INSERT, UPDATE, DELETE ON public.worker_report TO worker;
    END IF;
END $$;
CREATE EVENT TRIGGER let_workers_in ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION setup.let_workers_in();
