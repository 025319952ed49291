-- The outcome of a chain or a batch, for producers: that of a job, and the answers of the chain's last steps. Of one that
-- still runs, it is what would come of it if it ended now.
--
-- The last steps are those that completed and that no other completed step needs: before a last step that was skipped
-- or failed comes the one that completed before it.
--
-- Needs     chains
-- Provides  chain_outcome

-- An outcome holds at most so many answers of items, bytes of answers, and errors.
local MOST_ITEMS, MOST_BYTES, MOST_ERRORS = 1000, 4194304, 20

-- Outcomes read by one command: each holds a whole answer.
local OUTCOMES_READ = 100

-- Visits the steps `names` (`NAME …`) and, where `visit` says so, the steps that they need; each once.
local function visit_upstream(key, names, visit)
  local open, seen = {}, {}
  local function add(text)
    for name in string.gmatch(text, '%S+') do
      if not seen[name] then
        seen[name] = true
        open[#open + 1] = name
      end
    end
  end
  add(names)
  local i = 1
  while open[i] do
    if visit(open[i]) then add(redis.call('HGET', key, 'n:' .. open[i]) or '') end
    i = i + 1
  end
end

-- The last steps with an answer, each with the number of its items (nil = it did not fan out).
local function answered_steps(key, last)
  local found = {}
  visit_upstream(key, last, function(name)
    local m = redis.call('HMGET', key, 's:' .. name, 't:' .. name, 'o:' .. name)
    local has_answer = m[1] == 'completed' or tonumber(m[3] or '0') > 0
    if has_answer then found[#found + 1] = {name = name, items = tonumber(m[2] or '')} end
    return not has_answer
  end)
  if #found < 2 then return found end
  local needs, upstream, answered = {}, {}, {}
  for i, step in ipairs(found) do needs[i] = redis.call('HGET', key, 'n:' .. step.name) or '' end
  visit_upstream(key, table.concat(needs, ' '), function(name)
    upstream[name] = true
    return true
  end)
  for _, step in ipairs(found) do
    if not upstream[step.name] then answered[#answered + 1] = step end
  end
  return answered
end

-- A stored outcome as a table, or nil.
local function parse_outcome(text)
  local is_json, outcome = pcall(cjson.decode, text or '')
  return is_json and type(outcome) == 'table' and outcome or nil
end

local function json_text(value) return type(value) == 'string' and cjson.encode(value) or 'null' end

-- An answer as JSON while there is `room` for it.
local function encode_answer(outcome, room)
  local answer = json_text(outcome and outcome.output)
  if #answer > room.bytes then
    room.left_out = room.left_out + 1
    return 'null'
  end
  room.bytes = room.bytes - #answer
  return answer
end

-- The answers of a step's items as a JSON list, in their order.
local function encode_items(key, step, room)
  local answers, listed = {}, math.min(step.items, room.items)
  for from = 0, listed - 1, OUTCOMES_READ do
    local names = {}
    for i = from, math.min(from + OUTCOMES_READ, listed) - 1 do names[#names + 1] = step.name .. '/' .. i end
    for _, text in ipairs(redis.call('HMGET', key .. ':contexts', unpack(names))) do
      answers[#answers + 1] = encode_answer(parse_outcome(text), room)
    end
  end
  room.items, room.left_out = room.items - listed, room.left_out + step.items - listed
  return '[' .. table.concat(answers, ',') .. ']'
end

-- Returns the answers of the last steps as a JSON object; the outcome that holds the answer if there is exactly one, else
-- nil; and how many answers are left out.
local function encode_outputs(key, last)
  local room = {items = MOST_ITEMS, bytes = MOST_BYTES, left_out = 0}
  local members, only = {}, nil
  local steps = answered_steps(key, last)
  for i, step in ipairs(steps) do
    local answer
    if step.items then
      answer = encode_items(key, step, room)
    else
      local outcome = parse_outcome(redis.call('HGET', key .. ':contexts', step.name))
      answer = encode_answer(outcome, room)
      if #steps == 1 then only = outcome end
    end
    members[i] = cjson.encode(step.name) .. ':' .. answer
  end
  return '{' .. table.concat(members, ',') .. '}', only, room.left_out
end

-- The first failed and cancelled instances as a JSON list, and the first that failed: {instance, outcome or nil}.
local function encode_errors(key)
  local rows = redis.call('HSCAN', key .. ':failed', 0, 'COUNT', MOST_ERRORS)[2]
  local errors, first = {}, nil
  for i = 1, math.min(#rows, 2 * MOST_ERRORS), 2 do
    local state, job = string.match(rows[i + 1], '^(%a+) (.+)$')
    local text = redis.call('HGET', key .. ':contexts', rows[i]) or redis.call('GET', NS .. ':result:' .. job)
    local outcome = parse_outcome(text) or {}
    errors[#errors + 1] = string.format('{"id":%s,"step":%s,"state":"%s","error":%s,"error_class":%s}', cjson.encode(job),
      cjson.encode(rows[i]), state == 'failed' and 'discarded' or state, json_text(outcome.error),
      json_text(outcome.error_class))
    if state == 'failed' and not first then first = {rows[i], outcome} end
  end
  return '[' .. table.concat(errors, ',') .. ']', first
end

-- The failure of the chain as JSON, for people and for programs.
local function encode_failure(m, first)
  if m.state == 'cancelled' then return cjson.encode('the ' .. m.kind .. ' was cancelled'), '"cancelled"' end
  if not first then return cjson.encode('a step did not complete'), '"step_failed"' end
  local text = string.format('%s %s failed: %s', m.kind == 'batch' and 'task' or 'step', first[1],
    type(first[2].error) == 'string' and first[2].error or 'its error is no longer stored')
  if tonumber(m.failed) > 1 then text = string.format('%s (%d more failed)', text, m.failed - 1) end
  local class = json_text(first[2].error_class)
  return cjson.encode(text), class == 'null' and '"step_failed"' or class
end

-- Nanodollars as a decimal number of dollars, without trailing zeros.
local function dollars(nanos)
  local text = string.format('%d.%09d', math.floor(nanos / 1000000000), nanos % 1000000000)
  return (string.gsub(string.gsub(text, '0+$', ''), '%.$', ''))
end

-- The outcome of a chain as JSON.
local function chain_outcome(id)
  local key = chain_key(id)
  local names = {'state', 'kind', 'steps', 'completed', 'failed', 'skipped', 'cancelled', 'begun', 'ended', 'queued',
    unpack(SPENT)}
  local m = {}
  for i, value in ipairs(redis.call('HMGET', key, unpack(names))) do m[names[i]] = value or '0' end
  local others = redis.call('HMGET', key, 'last', 'metadata')
  local is_completed = m.state == 'completed'
  local outputs, only, left_out = encode_outputs(key, others[1] or '')
  local errors, first = encode_errors(key)
  local failure, class = 'null', 'null'
  if m.state == 'failed' or m.state == 'cancelled' then failure, class = encode_failure(m, first) end
  local answer = is_completed and only or {}
  local until_ms = m.ended == '0' and now_ms() or m.ended
  local parts = {
    string.format('{"id":%s,"state":"%s","success":%s,"kind":"%s"', cjson.encode(id), m.state, tostring(is_completed),
      m.kind),
    '"output":' .. json_text(answer.output), '"outputs":' .. outputs,
    '"error":' .. failure, '"error_class":' .. class, '"errors":' .. errors,
    '"platform":' .. json_text(answer.platform), '"model":' .. json_text(answer.model),
    '"finish_reason":' .. json_text(answer.finish_reason),
    string.format('"total_steps":%s,"completed":%s,"failed":%s,"skipped":%s,"cancelled":%s', m.steps, m.completed, m.failed,
      m.skipped, m.cancelled),
    string.format('"attempts":%s,"input_tokens":%s,"output_tokens":%s,"cached_tokens":%s,"reasoning_tokens":%s',
      m.attempts, m.input_tokens, m.output_tokens, m.cached_tokens, m.reasoning_tokens),
    '"cost_usd":"' .. dollars(tonumber(m.nanos)) .. '"',
  }
  if m.estimated ~= '0' then parts[#parts + 1] = '"cost_estimated":true' end
  parts[#parts + 1] = string.format('"duration_ms":%.0f,"queued_ms":%s', math.max(0, until_ms - m.begun), m.queued)
  parts[#parts + 1] = '"metadata":' .. (others[2] and others[2] ~= '' and others[2] or 'null')
  if left_out > 0 then
    parts[#parts + 1] = string.format('"warnings":["%d answers are left out: an outcome holds at most %d items and %d '
      .. 'MiB of answers; the outcomes of the jobs have them"]', left_out, MOST_ITEMS, MOST_BYTES / 1048576)
  end
  return table.concat(parts, ',') .. '}'
end
