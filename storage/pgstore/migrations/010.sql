-- The last grant of a person and a client. The body begins with when the grant was made,
-- whatever program wrote it.
CREATE INDEX grants_of_subject_by_client ON {}grants (of_subject, of_client, substring(body from 1 for 12), id) WHERE of_subject IS NOT NULL;
DROP INDEX {}grants_of_subject;
