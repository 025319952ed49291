-- Replies: outcomes pushed to the producers that wait for them.
--
-- Scripts say for whom a reply is with '1', for all who read the list `{ns}:reply:ID` with BLPOP, or with '@NAME', for the
-- readers of `{ns}:reply-to:NAME:ID`. `{ns}:replies:waiting` counts the further messages of the same job that were
-- dropped as duplicates and that also asked for a reply: in the field ID those of '1', in `~ID` (of a chain `~~ID`) the
-- others, as `@NAME COUNT …`. No id has a `~`.
--
-- A job, a chain and a step may have the same id. What a reader gets must be of the message that asked, so `kind` says
-- what the id is of: 'job', 'chain', or nil for a job whose id no producer chose, and which has no duplicates.
--
-- Producers may write to `{ns}:reply:ID`, so its type is not known.
--
-- Provides  push_reply, reply_to_duplicate

local NAMED = {job = '~', chain = '~~'}

-- How many readers' names may wait for one job.
local MOST_READERS = 100

local function reply_key(id, to)
  local name = string.match(to, '^@(.+)$')
  return name and NS .. ':reply-to:' .. name .. ':' .. id or NS .. ':reply:' .. id
end

-- Pushes an outcome `count` times. The list expires after `ttl` seconds. Whatever else stands under its key cannot be
-- popped by anyone, and gives way.
local function push(reply, outcome, count, ttl)
  local found = redis.call('TYPE', reply).ok
  if found ~= 'list' and found ~= 'none' then redis.call('UNLINK', reply) end
  for _ = 1, count do redis.call('RPUSH', reply, outcome) end
  redis.call('EXPIRE', reply, ttl)
end

-- Pushes an outcome once for each message that asked for it; `to` is for whom the message asked that ran.
local function push_reply(id, to, outcome, ttl, kind)
  if not kind then return push(reply_key(id, to), outcome, 1, ttl) end
  local waiting, named = NS .. ':replies:waiting', NAMED[kind] .. id
  local others = redis.call('HMGET', waiting, id, named)
  local counts = {}
  if others[1] then counts['1'] = tonumber(others[1]) end
  for reader, count in string.gmatch(others[2] or '', '(@%S+) (%d+)') do counts[reader] = tonumber(count) end
  counts[to] = (counts[to] or 0) + 1
  for reader, count in pairs(counts) do push(reply_key(id, reader), outcome, count, ttl) end
  redis.call('HDEL', waiting, id, named)
end

-- Counts a message that waits for the end of its job, for the readers `to`.
local function wait_for_reply(id, to, kind)
  local waiting, named = NS .. ':replies:waiting', NAMED[kind] .. id
  if to == '1' then return redis.call('HINCRBY', waiting, id, 1) end
  local readers, known, is_counted = {}, redis.call('HGET', waiting, named) or '', false
  for reader, count in string.gmatch(known, '(@%S+) (%d+)') do
    if reader == to then
      count, is_counted = string.format('%d', count + 1), true
    end
    readers[#readers + 1] = reader .. ' ' .. count
  end
  if not is_counted then
    if #readers >= MOST_READERS then return end
    readers[#readers + 1] = to .. ' 1'
  end
  redis.call('HSET', waiting, named, table.concat(readers, ' '))
end

-- Answers a message that was dropped as a duplicate: with the outcome, or, if it has not ended (nil or false), once
-- there is one.
local function reply_to_duplicate(id, to, ttl, outcome, kind)
  if outcome then
    push(reply_key(id, to), outcome, 1, ttl)
  else
    wait_for_reply(id, to, kind)
  end
end
