-- Puts a dead letter into its queue again.
--
-- KEYS[1]  the set of dead letters
-- ARGV     prefix, its id, when it died (ms; guards against another letter of the same id), queue,
--          resume, event, then the message's fields and values
-- Returns  the new place, or '' when the letter is gone or is another one
local id, died, queue, resume, event = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local score = redis.call('ZSCORE', KEYS[1], id)
if not score or tonumber(score) ~= tonumber(died) then return '' end
redis.call('ZREM', KEYS[1], id)
redis.call('HDEL', P .. ':dead:jobs', id)
redis.call('DEL', P .. ':result:' .. id)
redis.call('ZREM', P .. ':cancelled', id)
emit(event)
-- A step of a chain: the chain goes on with it.
if string.find(resume, '"step":', 1, true) then
  local step = cjson.decode(resume).step
  local instance = step and (step.index and step.name .. '/' .. step.index or step.name)
  if instance and reopen(step.chain, instance) then
    if redis.call('HGET', chain_key(step.chain), 'ended') then resume_chain(step.chain) end
    redis.call('HSET', chain_key(step.chain) .. ':running', instance, id)
  end
end
return enqueue(queue, resume, {unpack(ARGV, 7)})
