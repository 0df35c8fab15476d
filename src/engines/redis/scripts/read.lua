-- A get of a key that is not locked and does not expire, for who has reason to think that the plain command would not do (see
-- reads.ts). All else is left to what follows.
if ARGV[1] == 'get' and ARGV[4] == '' then
  local record, lock, tracked = unpack(redis.call('HMGET', KEYS[1] .. ':records', ':' .. ARGV[2], '!' .. ARGV[2], 'tracked'))
  if not lock and not record then return 'R    ' end
  local at = not lock and not tracked and string.match(record, '^%d+ 0 ()')
  if at then return 'R    ' .. string.sub(record, at) end
end
