-- What a process does for a collection now and then while it uses it: a sign of life for the locks it holds there, a look at
-- what has run out, and at its own calls that wait. ARGV: JSON of { channel, life, reads, held: [[key, token]],
-- keys: those waited for, waiting: who }. Answers with the milliseconds until it makes sense to come again (-1: nothing is
-- to be expected), whether any key has a time or its uses kept, "L token" for locks that are not held any more and "G who" for calls
-- that do not wait any more.
local SLICE = 200
local asked = cjson.decode(ARGV[1])
local found = { '', '' }
evenIfFull()

meta.reads = meta.reads + asked.reads
for _, pair in ipairs(asked.held) do
  local lock = heldLock(pair[1])
  if lock and lock.token == pair[2] then
    setLife(lock, asked.life)
    keep(lock)
  else
    found[#found + 1] = 'L ' .. pair[2]
  end
end
for _, key in ipairs(asked.keys) do heldLock(key) end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', UNTIL, '-inf', '(' .. int(now), 'LIMIT', 0, SLICE)) do heldLock(key) end
for _, who in ipairs(asked.waiting) do
  if redis.call('HEXISTS', WAITING, who) == 0 then found[#found + 1] = 'G ' .. who end
end

local next = math.huge
local function expect (at)
  next = math.min(next, math.max(0, at - now) + 1)
end
local function first (key)
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end
local isMore = sweep(SLICE)
expect(first(UNTIL) or math.huge)
expect(first(ENDS) or math.huge)
local used = meta.idle > 0 and first(IDLE)
if used then expect(math.max(used, meta.tracked) / 1000 + meta.idle) end
if isMore then next = 0 end
save()
found[2] = (meta.tracked > 0 or redis.call('EXISTS', ENDS) == 1) and '1' or '0'
found[1] = next == math.huge and '-1' or int(next)
return found
