-- Takes entries that were given back, or that a dead worker left.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, worker, how many at most
-- Returns  a list of {entry, fields, crashes so far, resume ('' = nothing remembered)}
local queue, worker, count = ARGV[2], ARGV[3], ARGV[4]
local pending = redis.call('XPENDING', KEYS[1], GROUP, '-', '+', count, RETURNED)
if #pending == 0 then return {} end
local ids = {}
for i, p in ipairs(pending) do ids[i] = p[1] end
local taken = {}
for _, found in ipairs(redis.call('XCLAIM', KEYS[1], GROUP, worker, 0, unpack(ids))) do
  local place = place_of(queue, found[1])
  taken[#taken + 1] = {
    found[1],
    found[2],
    tonumber(redis.call('HGET', P .. ':crashes', place) or '0'),
    redis.call('HGET', P .. ':resume', place) or '',
  }
end
return taken
