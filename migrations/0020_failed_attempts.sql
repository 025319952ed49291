-- What failed lately: an index of the attempts that failed or were lost. Attempts that succeeded are not in it, so it
-- costs their rows nothing.
--
-- Recorders wait while it is built, a few seconds for ten million attempts; jobs go on, and their events wait in Redis.
-- When the time for the lock is up, the program tries again.
SET LOCAL lock_timeout = '2s';
CREATE INDEX attempts_failed ON attempts (started_at) WHERE outcome IN ('failed', 'lost');
