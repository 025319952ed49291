-- Asks for a job to be cancelled. One that waits in a lane goes to its queue, where the next worker
-- ends it without running it; one that runs is dropped by its worker, who hears of it at once.
--
-- KEYS[1]  the set of cancelled ids
-- ARGV     prefix, job id, the id that it is laid aside under (its own, but of a job that waits for its
--          tenant's turn and whose own id nobody has checked)
-- Returns  'ended' when it has an outcome already, else 'asked'
return ask_to_cancel(ARGV[2], ARGV[3]) and 'asked' or 'ended'
