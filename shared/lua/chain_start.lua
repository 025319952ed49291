-- Begins a chain whose steps are laid down, and ends its message.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, entry, worker, chain id, hash of the document, where its steps are laid down,
--          document, name, most in flight ('' = any), fail_fast ('1' or ''), seconds that a chain is kept
--          after its end, seconds that an outcome is, reply ('1' or ''), number of steps, the steps that
--          need others as `NAME=NEEDS …`, those that need none as `NAME …`, event of the drop
-- Returns  'ok', 'more' not all could go at once, 'gone' the entry is not the worker's, 'duplicate' dropped:
--          the same chain came before, 'conflict' the id is another chain's, 'again' its steps are not
--          laid down any more
local queue, entry, worker, id, hash, laid_down = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local kept, results, reply, drop = ARGV[12], ARGV[13], ARGV[14], ARGV[18]
if owner_of(KEYS[1], entry) ~= worker then return 'gone' end
local key, place = chain_key(id), place_of(queue, entry)
local known = redis.call('HGET', key, 'hash')
if known then
  redis.call('DEL', laid_down)
  if known ~= hash then return 'conflict' end
  emit(drop)
  remove(KEYS[1], {entry})
  forget(place)
  if reply == '1' then
    local outcome = redis.call('GET', P .. ':result:' .. id)
    if outcome then push_reply(id, outcome, results) else redis.call('HINCRBY', P .. ':waiters', id, 1) end
  end
  return 'duplicate'
end
if redis.call('EXISTS', laid_down) == 0 then return 'again' end
local begun = string.format('%.0f', now_ms())
redis.call('HSET', key, 'state', 'running', 'kind', 'chain', 'hash', hash, 'name', ARGV[9], 'parallel', ARGV[10],
  'fail_fast', ARGV[11], 'retention', kept, 'results', results, 'reply', reply, 'queue', queue_of(queue), 'begun', begun,
  'steps', ARGV[15])
redis.call('RENAME', laid_down, key .. ':steps')
redis.call('PERSIST', key .. ':steps')
redis.call('SET', key .. ':doc', ARGV[8])
for name, needs in string.gmatch(ARGV[16], '([^ =]+)=(%d+)') do redis.call('HSET', key, 'l:' .. name, needs) end
for name in string.gmatch(ARGV[17], '[^ ]+') do redis.call('RPUSH', key .. ':ready', name) end
-- Chains that are long gone leave the list a few at a time.
for _, old in ipairs(redis.call('ZRANGE', P .. ':chains', 0, 9)) do
  if redis.call('EXISTS', chain_key(old)) == 0 then redis.call('ZREM', P .. ':chains', old) end
end
redis.call('ZADD', P .. ':chains', begun, id)
emit_chain(id, 'running')
remove(KEYS[1], {entry})
forget(place)
return pump(id) and 'more' or 'ok'
