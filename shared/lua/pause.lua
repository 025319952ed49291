-- Pauses a queue, a type or a provider. Who pauses again says anew until when and why.
--
-- KEYS[1]  what is paused
-- ARGV     prefix, what (`queue:NAME`, `type:NAME`, `provider:NAME`), for how long (ms, '' = until somebody
--          resumes it), reason ('' = none)
-- Returns  the pause, as JSON
local what, for_ms, reason = ARGV[2], ARGV[3], ARGV[4]
local now = now_ms()
local known = is_paused(what, now) and cjson.decode(redis.call('HGET', KEYS[1], what))
local pause = {since = known and known.since or now}
if for_ms ~= '' then pause['until'] = now + tonumber(for_ms) end
if reason ~= '' then pause.reason = reason end
local text = cjson.encode(pause)
redis.call('HSET', KEYS[1], what, text)
-- Jobs that were about to go wait on.
for _, lane in ipairs(redis.call('SMEMBERS', P .. ':resumed')) do
  if is_closed(lane, now) then redis.call('SREM', P .. ':resumed', lane) end
end
tell_of_pauses()
-- The scheduler ends it on time.
if for_ms ~= '' then wake() end
return text
