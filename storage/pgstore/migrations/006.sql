-- The processes at work. Times are Unix microseconds.
CREATE TABLE {}instances (
	id bytea PRIMARY KEY,
	started_at bigint NOT NULL,
	seen_at bigint NOT NULL,
	clock_ahead bigint NOT NULL,
	about bytea NOT NULL
);

-- What was counted for all of them: until when the events so far use up the rate,
-- in Unix microseconds. What is over is as good as absent.
CREATE TABLE {}rates (
	id bytea PRIMARY KEY,
	used_until bigint NOT NULL
);
CREATE INDEX rates_used_until ON {}rates (used_until);
