-- Resumes a queue, a type or a provider.
--
-- KEYS[1]  what is paused
-- ARGV     prefix, what (`queue:NAME`, `type:NAME`, `provider:NAME`)
-- Returns  1, or 0 when it was not paused
local what = ARGV[2]
if redis.call('HDEL', KEYS[1], what) == 0 then return 0 end
open_lanes(what)
tell_of_pauses()
wake()
return 1
