-- Keeps what a job yields: items, one after the other, or how far it is. An earlier start of the job writes no more.
--
-- KEYS   the items, or the progress
-- ARGV   the fence in 8 bytes; where the bytes belong, '' for progress, of which only the newest stays; the bytes;
--        lifetime in ms; channel ('' for none); job id
-- answer 1 if they are kept; 0 if a later start has written, or what is to be before them is gone
--
-- The place is absolute: the same call twice, because an answer got lost, leaves the same bytes.
local fence, at = ARGV[1], tonumber(ARGV[2])
local held = redis.pcall('GETRANGE', KEYS[1], 0, 7)
if type(held) ~= 'string' then
  return 0 -- what is no string is somebody else's
end

-- Not by <, which goes by the server's locale.
local function earlier(one, other)
  for i = 1, 8 do
    local a, b = one:byte(i) or -1, other:byte(i) or -1
    if a ~= b then
      return a < b
    end
  end
  return false
end

if earlier(fence, held) then
  return 0
end
if at == nil then
  redis.call('SET', KEYS[1], fence .. ARGV[3])
elseif at == 8 and held ~= fence then
  redis.call('SET', KEYS[1], fence .. ARGV[3])
elseif held == fence and redis.call('STRLEN', KEYS[1]) >= at then
  redis.call('SETRANGE', KEYS[1], at, ARGV[3])
else
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[5] ~= '' then
  redis.call('PUBLISH', ARGV[5], ARGV[6])
end
return 1
