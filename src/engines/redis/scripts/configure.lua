-- Changes the options that are given. ARGV: JSON of { idle, maxKeys, maxBytes, evict }.
local options = cjson.decode(ARGV[1])
-- What is past its idle time by now must not come back.
if options.idle and meta.idle > 0 then
  while sweep(1000) do end
end
meta.idle = options.idle and math.ceil(options.idle) or meta.idle
meta.maxKeys = options.maxKeys or meta.maxKeys
meta.maxBytes = options.maxBytes or meta.maxBytes
if options.evict ~= nil then meta.refuse = options.evict and 0 or 1 end
local isTracked = meta.idle + meta.maxKeys + meta.maxBytes > 0
if isTracked and meta.tracked == 0 then
  -- Nobody knows when a key was used before: it counts as used now.
  meta.tracked = micros
  redis.call('HSET', RECORDS, 'tracked', int(micros))
  redis.call('ZUNIONSTORE', TIMED, 1, ENDS, 'WEIGHTS', 0)
  redis.call('ZDIFFSTORE', IDLE, 2, NAMES, ENDS)
  redis.call('ZUNIONSTORE', IDLE, 1, IDLE, 'WEIGHTS', 0)
  for _, key in ipairs(redis.call('ZRANGE', UNTIL, 0, -1)) do redis.call('ZREM', IDLE, key) end
elseif not isTracked and meta.tracked > 0 then
  meta.tracked = 0
  redis.call('HDEL', RECORDS, 'tracked')
  redis.call('UNLINK', IDLE, TIMED)
end
save()
return reply('', '', '', '', '')
