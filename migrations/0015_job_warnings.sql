-- What the outcome of a job warns of (a list of texts), and the tools that its model wants called (OpenAI's
-- `tool_calls`); NULL if there is nothing.
ALTER TABLE jobs ADD COLUMN warnings jsonb;
ALTER TABLE jobs ADD COLUMN tool_calls jsonb;
