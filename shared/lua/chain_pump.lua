-- Puts more of a chain's ready steps into the queue, where one script could not send them all.
--
-- KEYS[1]  the chain
-- ARGV     prefix, chain id
-- Returns  'ok', or 'more' there may be still more
return pump(ARGV[2]) and 'more' or 'ok'
