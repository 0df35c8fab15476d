-- Keys that have a value: how long they stay, and how many fit.
local EVICT_AT_ONCE = 1000

local function load (key)
  local record = redis.call('HGET', RECORDS, ':' .. key)
  if not record then return nil end
  local version, finish, at = string.match(record, '^(%d+) (%d+) ()')
  local text = string.sub(record, at)
  return { key = key, version = version, finish = tonumber(finish), text = text, bytes = #key + #text }
end

local function store (entry)
  redis.call('HSET', RECORDS, ':' .. entry.key, entry.version .. ' ' .. int(entry.finish) .. ' ' .. entry.text)
end

-- Milliseconds since the last use. Uses are kept in microseconds, made different, which tells their order.
local function unused (entry)
  local used = redis.call('ZSCORE', entry.finish > 0 and TIMED or IDLE, entry.key)
  return math.max(0, micros - math.max(tonumber(used or 0), meta.tracked)) / 1000
end

-- Of a key that is not locked.
local function isPast (entry)
  if entry.finish > 0 then return now > entry.finish end
  return meta.idle > 0 and unused(entry) > meta.idle
end

local function enlist (entry)
  if meta.tracked > 0 then redis.call('ZADD', entry.finish > 0 and TIMED or IDLE, int(nextNumber()), entry.key) end
  if entry.finish > 0 then redis.call('ZADD', ENDS, int(entry.finish), entry.key) end
end

local function unlist (entry)
  if meta.tracked > 0 then redis.call('ZREM', entry.finish > 0 and TIMED or IDLE, entry.key) end
  if entry.finish > 0 then redis.call('ZREM', ENDS, entry.key) end
end

local function remove (entry)
  unlist(entry)
  redis.call('HDEL', RECORDS, ':' .. entry.key)
  redis.call('ZREM', NAMES, entry.key)
  meta.bytes = meta.bytes - entry.bytes
end

local function expire (entry)
  remove(entry)
  meta.expired = meta.expired + 1
end

-- The entry of a key that has a value and is not past its time.
local function find (key, isLocked)
  local entry = load(key)
  if not entry or isLocked or not isPast(entry) then return entry end
  expire(entry)
  return nil
end

local function use (entry, isLocked)
  if isLocked or meta.tracked == 0 then return end
  evenIfFull()
  redis.call('ZADD', entry.finish > 0 and TIMED or IDLE, int(nextNumber()), entry.key)
end

-- Milliseconds that an entry has left; '' if it stays.
local function expiresIn (entry, isLocked)
  if entry.finish > 0 then return int(math.max(0, entry.finish - now)) end
  if meta.idle == 0 then return '' end
  return int(meta.idle - (isLocked and 0 or unused(entry)))
end

local function isOver (keys, bytes)
  return (meta.maxKeys > 0 and redis.call('ZCARD', NAMES) + keys > meta.maxKeys) or
    (meta.maxBytes > 0 and meta.bytes + bytes > meta.maxBytes)
end

-- The keys that are not locked, the least recently used first.
local function leastUsed ()
  local i, j = 0, 0
  return function ()
    local idle = redis.call('ZRANGE', IDLE, i, i, 'WITHSCORES')
    local timed = redis.call('ZRANGE', TIMED, j, j, 'WITHSCORES')
    if idle[1] and (not timed[1] or tonumber(idle[2]) <= tonumber(timed[2])) then
      i = i + 1
      return idle[1]
    end
    j = j + 1
    return timed[1]
  end
end

local function evict (entry)
  if isPast(entry) then return expire(entry) end
  remove(entry)
  meta.evicted = meta.evicted + 1
end

-- Makes room for an entry that will have so many bytes; `entry` is the one it replaces. Where that is not enough, all stay.
local function fits (entry, bytes, isLocked)
  if meta.maxKeys == 0 and meta.maxBytes == 0 then return true end
  local keys = entry and 0 or 1
  local more = bytes - (entry and entry.bytes or 0)
  if not isOver(keys, more) then return true end
  -- What makes nothing worse is let through where bounds were lowered below what is stored.
  if keys == 0 and more <= 0 then return true end
  if meta.refuse == 1 or (meta.maxBytes > 0 and bytes > meta.maxBytes) then return false end
  local victims = {}
  for key in leastUsed() do
    if #victims == EVICT_AT_ONCE or not isOver(keys, more) then break end
    if not entry or key ~= entry.key then
      local victim = load(key)
      victims[#victims + 1] = victim
      keys, more = keys - 1, more - victim.bytes
    end
  end
  if #victims < EVICT_AT_ONCE and isOver(keys, more) then return false end
  for _, victim in ipairs(victims) do evict(victim) end
  return true
end

-- Writes, where the bounds allow; the new entry or nil. `ttl`: milliseconds, 0 for none, nil to leave the time of a key as it is.
local function put (key, entry, text, ttl, isLocked)
  if not fits(entry, #key + #text, isLocked) then return nil end
  local finish = entry and entry.finish or 0
  if ttl then finish = ttl > 0 and now + math.ceil(ttl) or 0 end
  local written = { key = key, version = int(nextNumber()), finish = finish, text = text, bytes = #key + #text }
  store(written)
  if entry and not isLocked and (finish == 0) ~= (entry.finish == 0) then unlist(entry) end
  if not entry then redis.call('ZADD', NAMES, written.version, key) end
  if not isLocked then enlist(written) end
  meta.bytes = meta.bytes + written.bytes - (entry and entry.bytes or 0)
  meta.writes = meta.writes + 1
  return written
end

-- Sets the time after which an entry ends; it is no change of its value.
local function setEnd (entry, ttl, isLocked)
  if not isLocked then unlist(entry) end
  entry.finish = now + math.ceil(ttl)
  store(entry)
  if not isLocked then enlist(entry) end
end

-- The time before which a key without a ttl must have been used to be past; nil where none can be.
local function idleLimit ()
  local limit = micros - meta.idle * 1000
  if meta.idle > 0 and meta.tracked < limit then return limit end
end

-- Removes up to `limit` keys that are past their time or over lowered bounds; true if more may be left.
local function sweep (limit)
  local due = redis.call('ZRANGEBYSCORE', ENDS, '-inf', '(' .. int(now), 'LIMIT', 0, limit)
  for _, key in ipairs(due) do expire(load(key)) end
  local removed = #due
  local before = idleLimit()
  if before and removed < limit then
    due = redis.call('ZRANGEBYSCORE', IDLE, '-inf', '(' .. int(before), 'LIMIT', 0, limit - removed)
    for _, key in ipairs(due) do expire(load(key)) end
    removed = removed + #due
  end
  while meta.refuse == 0 and removed < limit and isOver(0, 0) do
    local key = leastUsed()()
    if not key then break end
    evict(load(key))
    removed = removed + 1
  end
  return removed >= limit
end
