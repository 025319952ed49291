-- Puts more of a chain's ready instances into the queue, where one script could not send them all.
--
-- KEYS[1]  `{ns}:chain:ID`
-- ARGV     1 namespace, 2 chain id
-- Returns  'ok', or 'more': ready instances are left
-- Writes   `{ns}:chain:ID…`, streams, checkpoints
-- Repeat   safe: dispatches what is left
-- Bound    1000 instances, a few commands each
return dispatch(ARGV[2]) and 'more' or 'ok'
