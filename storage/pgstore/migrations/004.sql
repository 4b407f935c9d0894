-- The grants of a client, page by page.
CREATE INDEX grants_of_client_by_id ON {}grants (of_client, id) WHERE of_client IS NOT NULL;
DROP INDEX {}grants_of_client;
