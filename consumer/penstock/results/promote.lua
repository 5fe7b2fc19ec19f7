-- Makes a blob the result of its job unless there is one, and tells the requester's channel.
--
-- KEYS   the blob, the result
-- ARGV   the result's lifetime in ms, channel ('' for none), job id, '1' to let the blob go
-- answer 1 if the result is kept, 0 if an earlier one was there, -1 if there is no blob
--
-- The very same bytes are no earlier result: they are ours, of a call whose answer got lost.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
local kept = redis.call('COPY', KEYS[1], KEYS[2]) == 1
if kept then
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
else
  -- pcall: what is no string is somebody else's.
  kept = redis.pcall('GET', KEYS[2]) == redis.call('GET', KEYS[1])
end
if ARGV[4] == '1' then
  redis.call('UNLINK', KEYS[1])
end
if ARGV[2] ~= '' then
  redis.call('PUBLISH', ARGV[2], ARGV[3])
end
return kept and 1 or 0
