-- Somebody whom another system identified, and which of the records are theirs.
CREATE TABLE {}persons (
	id bytea PRIMARY KEY,
	issuer bytea NOT NULL,
	due_at bigint,
	keep_until bigint NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX persons_due ON {}persons (issuer, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX persons_keep_until ON {}persons (keep_until);

-- NULL for whoever has no such record.
ALTER TABLE {}access_tokens ADD COLUMN person bytea;
ALTER TABLE {}grants ADD COLUMN person bytea;
ALTER TABLE {}flows ADD COLUMN person bytea;
ALTER TABLE {}browser_sessions ADD COLUMN person bytea;
