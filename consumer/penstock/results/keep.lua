-- Keeps results, each under its key unless one is there, and tells the requesters' channels; looks results up.
--
-- One call for many: a round trip and an answer to parse for each would cost the worker several times as much.
-- In the order of the keys: a look-up sees what was kept before it.
--
-- KEYS   the results' keys
-- ARGV   lifetime in ms, then for each key: result.v1 ('' to look one up), channel ('' for none), job id
-- answer for each key: 1 if this result is kept, 0 if an earlier one was there; of a look-up the result, nil if
--        there is none
--
-- The very same bytes are no earlier result: they are ours, of a call whose answer got lost.
local answers = {}
for i, key in ipairs(KEYS) do
  local at = 3 * i - 1
  local body = ARGV[at]
  local kept = body ~= '' and redis.call('SET', key, body, 'NX', 'PX', ARGV[1])
  -- pcall: what is no string is somebody else's; an error would hold up every other result of this worker.
  local held = not kept and redis.pcall('GET', key)
  if body == '' then
    answers[i] = type(held) == 'string' and held
  else
    answers[i] = (kept or held == body) and 1 or 0
    if ARGV[at + 1] ~= '' then
      redis.call('PUBLISH', ARGV[at + 1], ARGV[at + 2])
    end
  end
end
return answers
