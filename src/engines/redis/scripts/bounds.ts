// The bounds of a collection, expiry and eviction.
export default String.raw`
local function isOver (keys, bytes)
  return (meta.maxKeys > 0 and meta.keys + keys > meta.maxKeys) or (meta.maxBytes > 0 and meta.bytes +
    bytes > meta.maxBytes)
end

-- The number of expired keys that have not been removed yet.
local function pastKeys ()
  local count = redis.call('ZCOUNT', ENDS, '-inf', '(' .. int(now))
  local limit = idleLimit()
  if limit > meta.tracked then count = count + redis.call('ZCOUNT', IDLE, '-inf', '(' .. int(limit)) end
  return count
end

-- Returns the number of removed keys, and whether more may be left.
local function expireFrom (set, limit, count)
  local keys = redis.call('ZRANGEBYSCORE', set, '-inf', '(' .. int(limit), 'LIMIT', 0, count)
  local removed, isMore = 0, #keys == count
  for i, key in ipairs(keys) do
    fetch(keys, i)
    local entry = load(key)
    if entry then
      drop(entry, 'e')
      change('expired', meta.expired + 1)
    end
    removed = i
    if isSpent() then
      isMore = true
      break
    end
  end
  if removed > 0 then
    redis.call('ZREM', set, unpack(keys, 1, removed))
    if set == ENDS and meta.tracked > 0 then redis.call('ZREM', TIMED, unpack(keys, 1, removed)) end
  end
  return removed, isMore
end

-- Removes at least one expired key, up to that many. Returns true if more may be left.
local function expireSome (count)
  local removed, isMore = expireFrom(ENDS, now, count)
  local limit = idleLimit()
  if isMore or limit <= meta.tracked then return isMore end
  removed, isMore = expireFrom(IDLE, limit, count - removed)
  return isMore
end

-- Evicts the least recently used unlocked key other than "spared". Returns false if there is none.
local function evictOne (spared)
  local oldest, age = nil, math.huge
  for _, set in ipairs({ IDLE, TIMED }) do
    local first = redis.call('ZRANGE', set, 0, 1, 'WITHSCORES')
    local at = first[1] == spared and 3 or 1
    if first[at] and tonumber(first[at + 1]) < age then oldest, age = first[at], tonumber(first[at + 1]) end
  end
  if not oldest then return false end
  local entry = load(oldest)
  work = work - 1 -- for finding it
  if entry then
    remove(entry, nil, 'v')
    change('evicted', meta.evicted + 1)
  else
    redis.call('ZREM', IDLE, oldest)
    redis.call('ZREM', TIMED, oldest)
  end
  return true
end

local MAX_VICTIMS = 100 -- per write; also the most expired keys it removes before it evicts
local stepJobs -- from jobs.ts

-- Whether an entry of that size fits, if necessary after evictions; "entry" is the one that it replaces. Nil if that is
-- too much work for one script: part of it is done. If the entry cannot fit, nothing is evicted.
function fits (entry, bytes, lock)
  if meta.maxKeys == 0 and meta.maxBytes == 0 then return true end
  local keys = entry and 0 or 1
  local more = bytes - (entry and entry.bytes or 0)
  if not isOver(keys, more) then return true end
  -- Writes that do not grow a collection are allowed even if its bounds were lowered below its size.
  if keys == 0 and more <= 0 then return true end
  local pinned = (lock and entry) and entry.bytes or 0
  if meta.maxBytes > 0 and meta.lockedBytes - pinned + bytes > meta.maxBytes then return false end
  if meta.maxKeys > 0 and meta.lockedKeys + keys > meta.maxKeys then return false end
  -- Cleared and expired keys do not count.
  if meta.jobs > 0 then stepJobs() end
  local isMore = expireSome(MAX_VICTIMS) or meta.jobs > 0
  if not isOver(keys, more) then return true end
  if isMore then return nil end
  if meta.refuse == 1 then return false end
  for _ = 1, MAX_VICTIMS do
    if not evictOne(entry and entry.key) then return false end
    if not isOver(keys, more) then return true end
    if isSpent() then return nil end
  end
  return nil
end

-- Removes expired keys, and keys above lowered bounds, within the work budget.
local function sweep ()
  while expireSome(50) do
    if isSpent() then return end
  end
  while meta.refuse == 0 and isOver(0, 0) do
    if isSpent() then return end
    if not evictOne() then return end
  end
  if meta.tracked > 0 and meta.idle + meta.maxKeys + meta.maxBytes == 0 and meta.jobs == 0 then
    change('tracked', 0)
    change('gone', 0)
    redis.call('UNLINK', IDLE, TIMED)
  end
end
`
