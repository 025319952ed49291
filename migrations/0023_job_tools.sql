-- The calls of tools that the worker ran for the job (the member `tools` of the outcome); NULL if there are none.
ALTER TABLE jobs ADD COLUMN tools jsonb;
