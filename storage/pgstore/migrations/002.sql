-- Keys that operators make while a site runs, and the number of the last change of
-- those of an issuer. Neither ends by itself.

CREATE TABLE {}virtual_keys (
	id bytea PRIMARY KEY,
	issuer bytea NOT NULL,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX virtual_keys_issuer ON {}virtual_keys (issuer);

CREATE TABLE {}virtual_key_changes (
	id bytea PRIMARY KEY,
	keep_until bigint NOT NULL,
	number bigint NOT NULL
);
