-- The logins of compose's programs, one for each of Wattline's roles, with the passwords of deploy/compose/.env.
-- Safe to repeat: a password that was changed there is changed here.
\set ON_ERROR_STOP on
\getenv owner OWNER_PASSWORD
\getenv consumer CONSUMER_PASSWORD
\getenv api API_PASSWORD
\getenv reader READER_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', 'compose_' || role)
FROM unnest(ARRAY['owner', 'consumer', 'api', 'reader']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'compose_' || role)
\gexec

SET client_min_messages = warning;
ALTER ROLE compose_owner PASSWORD :'owner';
ALTER ROLE compose_consumer PASSWORD :'consumer';
ALTER ROLE compose_api PASSWORD :'api';
ALTER ROLE compose_reader PASSWORD :'reader';
GRANT wattline_owner TO compose_owner;
GRANT wattline_consumer TO compose_consumer;
GRANT wattline_api TO compose_api;
GRANT wattline_reader TO compose_reader;
