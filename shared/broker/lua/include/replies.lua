-- Replies: outcomes pushed to the producers that wait for them.
--
-- `{ns}:reply:ID` is the list that a producer reads with BLPOP. `{ns}:replies:waiting` counts, by job id, the
-- further messages of the same job that were dropped as duplicates and that also asked for a reply.
--
-- Producers may write to `{ns}:reply:ID`, so its type is not known.
--
-- Provides  push_reply, reply_to_duplicate

-- Pushes an outcome once for each message that asked for it. The list expires after `ttl` seconds. Whatever else
-- stands under its key cannot be popped by anyone, and gives way.
local function push_reply(id, outcome, ttl)
  local reply, waiting = NS .. ':reply:' .. id, NS .. ':replies:waiting'
  local found = redis.call('TYPE', reply).ok
  if found ~= 'list' and found ~= 'none' then redis.call('UNLINK', reply) end
  for _ = 0, tonumber(redis.call('HGET', waiting, id) or '0') do
    redis.call('RPUSH', reply, outcome)
  end
  redis.call('EXPIRE', reply, ttl)
  redis.call('HDEL', waiting, id)
end

-- Answers a message that was dropped as a duplicate: with the outcome, or, if there is none yet, once there is.
-- `expired` is the outcome of a job that ended, and whose outcome has expired (nil = it has not ended).
local function reply_to_duplicate(id, ttl, expired)
  local outcome = redis.call('GET', NS .. ':result:' .. id) or expired
  if outcome then
    push_reply(id, outcome, ttl)
  else
    redis.call('HINCRBY', NS .. ':replies:waiting', id, 1)
  end
end
