-- The way most calls go: a get of a key that is not locked and does not expire. All else is left to what follows.
if ARGV[1] == 'get' and ARGV[4] == '' and redis.call('HEXISTS', KEYS[1] .. ':locks', ARGV[2]) == 0 then
  local record = redis.call('HGET', KEYS[1] .. ':texts', ARGV[2])
  if not record then return 'R    ' end
  local at = string.match(record, '^%d+ 0 ()')
  if at and (redis.call('HGET', KEYS[1], 'tracked') or '0') == '0' then return 'R    ' .. string.sub(record, at) end
end
