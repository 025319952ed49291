-- Admits a job that named its own id or a unique key; called once, before its first attempt.
--
-- KEYS[1]  the queue's stream
-- ARGV     prefix, queue, entry, worker, id ('' = none), content hash, seconds that an id is known,
--          unique key ('' = none), seconds that it is taken, reply ('1' or ''), seconds that a reply
--          is kept, event of the drop, the task of a batch that it is ('' = none) as `CHAIN INSTANCE`
-- Returns  {'ok'}, {'gone'} the entry is not the worker's, {'duplicate'} dropped: the same job came
--          before, {'conflict', place} the id is another job's, {'unique', place} the key is another's
local queue, entry, worker, id, hash, id_ttl, key, key_ttl, reply, reply_ttl, drop =
  ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local place = place_of(queue, entry)
if owner_of(KEYS[1], entry) ~= worker then return {'gone'} end
if id ~= '' then
  local known = redis.call('GET', P .. ':id:' .. id)
  if not known then
    redis.call('SET', P .. ':id:' .. id, hash .. ' ' .. place, 'EX', id_ttl)
  else
    local known_hash, known_place = string.match(known, '^(%S+) (%S+)$')
    if known_place ~= place then
      if known_hash ~= hash then return {'conflict', known_place} end
      emit(drop)
      remove(KEYS[1], {entry})
      if ARGV[13] ~= '' then
        local chain, instance = string.match(ARGV[13], '^(%S+) (%S+)$')
        advance(chain, instance, 'completed', 0)
        proceed(chain)
      end
      if reply == '1' then
        local result = redis.call('GET', P .. ':result:' .. id)
        if result then
          push_reply(id, result, reply_ttl)
        else
          redis.call('HINCRBY', P .. ':waiters', id, 1)
        end
      end
      return {'duplicate'}
    end
  end
end
if key ~= '' then
  local holder = redis.call('GET', P .. ':unique:' .. key)
  if not holder then
    redis.call('SET', P .. ':unique:' .. key, place, 'EX', key_ttl)
  elseif holder ~= place then
    return {'unique', holder}
  end
end
return {'ok'}
