-- NULL for what a program before this wrote.

-- By which the connections of the person are found, in the statement that reads the
-- session.
ALTER TABLE {}browser_sessions ADD COLUMN owner bytea;
-- The session that whoever left is signed in by, if any.
ALTER TABLE {}connect_states ADD COLUMN session bytea;
