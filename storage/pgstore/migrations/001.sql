-- Every record has its key, what it is found by, the Unix time in seconds until
-- which it is kept, and its body. IDs are bytes: they are what a client sends.

CREATE TABLE {}access_tokens (
	hash bytea PRIMARY KEY,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX access_tokens_keep_until ON {}access_tokens (keep_until);

CREATE TABLE {}refresh_tokens (
	hash bytea PRIMARY KEY,
	grant_id bytea NOT NULL,
	predecessor bytea,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX refresh_tokens_keep_until ON {}refresh_tokens (keep_until);

CREATE TABLE {}replays (
	hash bytea PRIMARY KEY,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX replays_keep_until ON {}replays (keep_until);

CREATE TABLE {}codes (
	hash bytea PRIMARY KEY,
	grant_id bytea NOT NULL,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX codes_keep_until ON {}codes (keep_until);

-- of_client and of_subject are NULL once the grant is revoked. ends_at is in Unix
-- nanoseconds; the grant is kept for as long as its tokens.
CREATE TABLE {}grants (
	id bytea PRIMARY KEY,
	of_client bytea,
	of_subject bytea,
	access_tokens bytea[] NOT NULL,
	refresh_token bytea,
	queue_sender bytea,
	queue_group bytea,
	queued_at bigint,
	code bytea,
	ends_at bigint NOT NULL,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX grants_of_client ON {}grants (of_client) WHERE of_client IS NOT NULL;
CREATE INDEX grants_of_subject ON {}grants (of_subject) WHERE of_subject IS NOT NULL;
CREATE INDEX grants_queue_sender ON {}grants (queue_sender, queued_at, id) WHERE queue_sender IS NOT NULL;
CREATE INDEX grants_queue_group ON {}grants (queue_group, queue_sender, queued_at) WHERE queue_group IS NOT NULL;
CREATE INDEX grants_keep_until ON {}grants (keep_until);

CREATE TABLE {}clients (
	id bytea PRIMARY KEY,
	queue_sender bytea,
	queue_group bytea,
	queued_at bigint,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX clients_queue_sender ON {}clients (queue_sender, queued_at, id) WHERE queue_sender IS NOT NULL;
CREATE INDEX clients_queue_group ON {}clients (queue_group, queue_sender, queued_at) WHERE queue_group IS NOT NULL;
CREATE INDEX clients_keep_until ON {}clients (keep_until);

CREATE TABLE {}flows (
	id bytea PRIMARY KEY,
	of_subject bytea NOT NULL,
	browser bytea NOT NULL,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX flows_of_subject ON {}flows (of_subject);
CREATE INDEX flows_browser ON {}flows (browser);
CREATE INDEX flows_keep_until ON {}flows (keep_until);

CREATE TABLE {}browser_sessions (
	id bytea PRIMARY KEY,
	of_subject bytea NOT NULL,
	queue_sender bytea,
	queue_group bytea,
	queued_at bigint,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX browser_sessions_of_subject ON {}browser_sessions (of_subject);
CREATE INDEX browser_sessions_queue_sender ON {}browser_sessions (queue_sender, queued_at, id) WHERE queue_sender IS NOT NULL;
CREATE INDEX browser_sessions_queue_group ON {}browser_sessions (queue_group, queue_sender, queued_at) WHERE queue_group IS NOT NULL;
CREATE INDEX browser_sessions_keep_until ON {}browser_sessions (keep_until);

CREATE TABLE {}used_values (
	hash bytea PRIMARY KEY,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX used_values_keep_until ON {}used_values (keep_until);

CREATE TABLE {}site_values (
	id bytea PRIMARY KEY,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX site_values_keep_until ON {}site_values (keep_until);

CREATE TABLE {}connections (
	issuer bytea NOT NULL,
	owner bytea NOT NULL,
	server bytea NOT NULL,
	handle bytea NOT NULL,
	keep_until bigint NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (issuer, owner, server)
);
CREATE UNIQUE INDEX connections_handle ON {}connections (handle);
CREATE INDEX connections_keep_until ON {}connections (keep_until);

CREATE TABLE {}disconnects (
	id bytea PRIMARY KEY,
	keep_until bigint NOT NULL,
	number bigint NOT NULL
);
CREATE INDEX disconnects_keep_until ON {}disconnects (keep_until);

CREATE TABLE {}connect_states (
	hash bytea PRIMARY KEY,
	issuer bytea NOT NULL,
	owner bytea NOT NULL,
	server bytea NOT NULL,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX connect_states_of_connection ON {}connect_states (issuer, owner, server);
CREATE INDEX connect_states_keep_until ON {}connect_states (keep_until);

CREATE TABLE {}upstream_clients (
	id bytea PRIMARY KEY,
	issuer bytea NOT NULL,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX upstream_clients_issuer ON {}upstream_clients (issuer);
CREATE INDEX upstream_clients_keep_until ON {}upstream_clients (keep_until);

CREATE TABLE {}revocations (
	id bytea PRIMARY KEY,
	issuer bytea NOT NULL,
	due_at bigint NOT NULL,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX revocations_due ON {}revocations (issuer, due_at, id);
CREATE INDEX revocations_keep_until ON {}revocations (keep_until);

-- What was committed, for whoever lost the answer; done is false for what never
-- will be.
CREATE TABLE {}attempts (
	id bytea PRIMARY KEY,
	done boolean NOT NULL,
	keep_until bigint NOT NULL
);
CREATE INDEX attempts_keep_until ON {}attempts (keep_until);

-- What a transaction locks where there may be no record yet to lock.
CREATE TABLE {}locks (
	id bytea PRIMARY KEY,
	keep_until bigint NOT NULL
);
CREATE INDEX locks_keep_until ON {}locks (keep_until);
