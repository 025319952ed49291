-- Puts the next tasks of a batch in, each once, and opens the batch with the first of them.
--
-- KEYS[1]  the batch
-- ARGV     prefix, batch id, name, queue, most in flight, seconds that it is kept after its end, seconds
--          that its outcome is, how many tasks stand before these, the digest of those ('' of none), the
--          digest with these, then of each task: its job's own id ('' = its name's), memory, message
-- Returns  'ok', 'elsewhere' other tasks than those are in, 'closed' it takes no more, 'chain' the id is
--          that of another thing
local FIRST = 11
local id, at, before, after = ARGV[2], tonumber(ARGV[8]), ARGV[9], ARGV[10]
local key, now = KEYS[1], string.format('%.0f', now_ms())

local function open()
  redis.call('HSET', key, 'state', 'open', 'kind', 'batch', 'name', ARGV[3], 'queue', ARGV[4], 'parallel', ARGV[5],
    'fail_fast', '', 'retention', ARGV[6], 'results', ARGV[7], 'reply', '', 'begun', now, 'steps', 0, 'lines', 0,
    'digest', '')
  redis.call('ZADD', P .. ':chains', now, id)
  emit_chain(id, 'open')
end

local known = redis.call('HMGET', key, 'kind', 'state', 'lines', 'digest')
if known[1] and known[1] ~= 'batch' then return 'chain' end
if known[2] and known[2] ~= 'open' then return 'closed' end
if tonumber(known[3] or '0') ~= at or (known[4] or '') ~= before then return 'elsewhere' end
if not known[1] then open() end

local lines, own = {}, {}
for i = FIRST, #ARGV, 3 do
  local job = ARGV[i]
  lines[#lines + 1] = cmsgpack.pack({'task/' .. at, ARGV[i + 1], ARGV[i + 2], job ~= '' and job})
  if job ~= '' then
    own[#own + 1] = at
    own[#own + 1] = job
  end
  at = at + 1
end
redis.call('RPUSH', key .. ':lines', unpack(lines))
if #own > 0 then redis.call('HSET', key .. ':ids', unpack(own)) end
redis.call('HSET', key, 'lines', at, 'digest', after, 'put', now)
pump(id)
return 'ok'
