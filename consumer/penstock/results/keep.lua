-- Keeps results, each under its key unless one is there, and tells the requesters' channels.
--
-- One call for many results: a round trip and an answer to parse for each would cost the worker
-- several times as much.
--
-- KEYS   the results' keys
-- ARGV   lifetime in ms, then for each key: result.v1, channel ('' for none), job id
-- answer for each key: 1 if this result is kept, 0 if an earlier one was there
local first = {}
for i, key in ipairs(KEYS) do
  local at = 3 * i - 1
  local kept = redis.call('SET', key, ARGV[at], 'NX', 'PX', ARGV[1])
  first[i] = kept and 1 or 0
  if ARGV[at + 1] ~= '' then
    redis.call('PUBLISH', ARGV[at + 1], ARGV[at + 2])
  end
end
return first
