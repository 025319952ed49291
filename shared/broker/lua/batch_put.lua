-- Adds the next tasks of a batch, each once; the first of them open the batch.
--
-- KEYS[1]  `{ns}:chain:ID`
-- ARGV     1 namespace, 2 batch id, 3 name, 4 queue, 5 the most jobs in flight, 6 seconds that it is kept after its
--          end, 7 seconds that its outcome is kept, 8 how many tasks come before these, 9 the digest of those ('' =
--          of none), 10 the digest with these, 11 fail_fast ('1' or ''), then of each task: the job id that the
--          producer chose ('' = none), checkpoint, message
-- Returns  'ok'; 'elsewhere': the batch holds other tasks than those before these; 'closed': it takes no more;
--          'chain': the id belongs to a chain
-- Writes   `{ns}:chain:ID…`, `{ns}:chains`, events, streams, checkpoints
-- Repeat   safe: the tasks are in, so the count differs ('elsewhere')
-- Bound    one push of all tasks (the caller sends at most 1000), chain_dispatch.lua's
local FIRST, ARITY = 12, 3
local id, count, before, after = ARGV[2], tonumber(ARGV[8]), ARGV[9], ARGV[10]
local key, now = KEYS[1], string.format('%.0f', now_ms())

local function open()
  redis.call('HSET', key, 'state', 'open', 'kind', 'batch', 'name', ARGV[3], 'queue', ARGV[4], 'parallel', ARGV[5],
    'fail_fast', ARGV[11], 'retention', ARGV[6], 'results', ARGV[7], 'reply', '', 'begun', now, 'steps', 0, 'lines', 0,
    'digest', '')
  redis.call('ZADD', NS .. ':chains', now, id)
  emit_chain(id, 'open')
end

local known = redis.call('HMGET', key, 'kind', 'state', 'lines', 'digest')
if known[1] and known[1] ~= 'batch' then return 'chain' end
if known[2] and known[2] ~= 'open' then return 'closed' end
if tonumber(known[3] or '0') ~= count or (known[4] or '') ~= before then return 'elsewhere' end
if not known[1] then open() end

local lines, own = {}, {}
for at = FIRST, #ARGV, ARITY do
  local job = ARGV[at]
  lines[#lines + 1] = cmsgpack.pack({'task/' .. count, ARGV[at + 1], ARGV[at + 2], job ~= '' and job})
  if job ~= '' then
    own[#own + 1] = count
    own[#own + 1] = job
  end
  count = count + 1
end
redis.call('RPUSH', key .. ':lines', unpack(lines))
if #own > 0 then redis.call('HSET', key .. ':ids', unpack(own)) end
redis.call('HSET', key, 'lines', count, 'digest', after, 'put', now)
dispatch(id)
return 'ok'
