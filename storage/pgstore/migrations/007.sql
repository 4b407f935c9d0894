-- NULL for what a program before this wrote.

-- By which the connections of the person are found, in the statement that reads the
-- flow.
ALTER TABLE {}flows ADD COLUMN owner bytea;
-- Which browser may claim it, and the ID of the flow that it is of, if any.
ALTER TABLE {}connect_states ADD COLUMN browser bytea;
ALTER TABLE {}connect_states ADD COLUMN flow bytea;
-- What the statement returned that was the whole act.
ALTER TABLE {}attempts ADD COLUMN answer bytea;
