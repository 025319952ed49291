-- What is old is found without reading all: rows lie on the disk nearly in the order of these times.
CREATE INDEX dropped_messages_by_time ON dropped_messages USING brin (at);
CREATE INDEX dead_letter_ends_by_time ON dead_letter_ends USING brin (gone_at);
