-- The registration of the client that whoever left is to sign in for, if any. NULL for
-- what a program before this wrote.
ALTER TABLE {}connect_states ADD COLUMN client bytea;
