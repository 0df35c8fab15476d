-- Deletes all keys: the free ones now, a locked one when its turn comes, or not at all where the call is not to
-- wait. ARGV: who, '1' for not to wait. Answers as call.lua does.
local who, nowait = ARGV[1], ARGV[2] == '1'
evenIfFull()
local kept = {}
local next = math.huge
for _, key in ipairs(redis.call('ZRANGE', UNTIL, 0, -1)) do
  local lock = heldLock(key)
  if lock then kept[#kept + 1] = lock end
end
local entries = {}
for _, lock in ipairs(kept) do
  entries[#entries + 1] = load(lock.key)
  next = math.min(next, runsOut(lock))
end
local births = {}
for _, entry in ipairs(entries) do births[entry.key] = redis.call('ZSCORE', NAMES, entry.key) end
redis.call('UNLINK', RECORDS, NAMES, ENDS, IDLE, TIMED)
if meta.tracked > 0 then redis.call('HSET', RECORDS, 'tracked', int(meta.tracked)) end
for _, lock in ipairs(kept) do keep(lock) end
meta.bytes = 0
for _, entry in ipairs(entries) do
  store(entry)
  redis.call('ZADD', NAMES, births[entry.key], entry.key)
  meta.bytes = meta.bytes + entry.bytes
end
if nowait and #kept > 0 then
  save()
  return 'ESTORE_LOCKED'
end
for i, lock in ipairs(kept) do
  enqueue(lock, 'part ' .. i .. ' ' .. who, { op = 'del', key = lock.key, part = who })
end
if #kept > 0 then redis.call('HSET', WAITING, 'parts ' .. who, #kept) end
save()
return #kept == 0 and reply('', '', '', '', '') or 'Q' .. int(next - now)
