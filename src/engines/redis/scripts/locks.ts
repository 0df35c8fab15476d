// Locks, their holders, and the liveness of processes.
export default String.raw`
-- "Who" is the channel of a process and the number of its call; the number begins with "-" if no reply is wanted.

local LOCK = '<ddddddddI4c0I4c0' -- doubles, then texts with their lengths; the owner follows

-- Decodes a stored lock; nil if there is none.
local function lockFrom (key, stored)
  if not stored then return nil end
  local fence, since, isDetached, length, lease, isTimed, queue, place, token, channel, at =
    struct.unpack(LOCK, stored)
  return { key = key, token = token, fence = fence, owner = string.sub(stored, at), since = since, channel = channel,
    isDetached = isDetached, length = length, lease = lease, isTimed = isTimed, queue = queue, place = place }
end

local function lockOf (key)
  return lockFrom(key, read('!' .. key))
end

-- "lease": when it expires, 0 for never. "length": the length of the lease, the default for a renewal. "queue": the
-- name of the key's queue. "place": the number of the call that got the lock. "isTimed": 1 if it is in UNTIL. "token"
-- is '' while the queue is being served.
local function keep (lock)
  write('!' .. lock.key, struct.pack(LOCK, lock.fence, lock.since, lock.isDetached, lock.length, lock.lease,
    lock.isTimed, lock.queue, lock.place, #lock.token, lock.token, #lock.channel, lock.channel) .. lock.owner)
end

local function untime (lock)
  if lock.isTimed == 1 then redis.call('ZREM', UNTIL, lock.key) end
  lock.isTimed = 0
end

local function time (lock, at)
  zadd(UNTIL, int(at), lock.key)
  lock.isTimed = 1
end

local function setLease (lock, lease)
  lock.length = lease
  if lease > 0 then
    lock.lease = now + math.ceil(lease)
    time(lock, lock.lease)
    ends(lock.lease)
  else
    lock.lease = 0
    untime(lock)
  end
end

local function leaseIn (lock)
  return lock.lease == 0 and '' or int(math.max(0, lock.lease - now))
end

local function heldBy (lock)
  return lock.channel .. ' ' .. lock.key
end

local function channelOf (who)
  return string.sub(who, 1, CHANNEL)
end

-- Records a heartbeat of a process.
local function isHeard (channel, life)
  if heard == channel then return end
  heard, caches['alive ' .. channel], caches['until ' .. channel] = channel, nil, nil
  zadd(ALIVE, int(now + life), channel)
  ends(now + life)
end

-- Whether a process is connected. In a Redis Cluster this is unknown: it may be connected to another node.
local function isConnected (channel)
  if string.sub(channel, -1) ~= '1' then return true end
  local key = 'connected ' .. channel
  if caches[key] == nil then caches[key] = redis.call('PUBSUB', 'NUMSUB', channel)[2] > 0 end
  return caches[key]
end

local function aliveUntil (channel)
  local key = 'until ' .. channel
  if not caches[key] then caches[key] = tonumber(redis.call('ZSCORE', ALIVE, channel) or 0) end
  return caches[key]
end

local function isAlive (channel)
  if channel == caller then return true end
  local key = 'alive ' .. channel
  if caches[key] == nil then caches[key] = aliveUntil(channel) >= now and isConnected(channel) end
  return caches[key]
end

local function isOut (lock)
  return (lock.lease > 0 and now > lock.lease) or (lock.isDetached == 0 and not isAlive(lock.channel))
end

-- When a lock ends: by its lease, or because its process sends no heartbeat.
local function runsOut (lock)
  if lock.token == '' then return now end
  if lock.isDetached == 1 then return lock.lease end
  local life = aliveUntil(lock.channel)
  return lock.lease > 0 and math.min(lock.lease, life) or life
end

-- The calling process is alive, even if its heartbeat was late: it keeps the locks that others have not ended yet.
local function stay (channel, life)
  if aliveUntil(channel) > 0 then isHeard(channel, life) end
end

-- The first entries of a process in HELD or OWNED.
local function entriesOf (set, channel, count)
  putAll()
  return redis.call('ZRANGEBYLEX', set, '[' .. channel .. ' ', '(' .. channel .. '!', 'LIMIT', 0, count)
end

-- The key in an entry of HELD.
local function keyIn (held)
  return string.sub(held, CHANNEL + 2)
end

-- Locks a key that is free, for the call of that number, which becomes its holder or is served next.
local function lockFor (number, key, entry)
  if entry then
    unlist(entry)
    pin(entry, 1)
  end
  meta.locks = meta.locks + 1
  put(HELD, '\255' .. key, true)
  return { key = key, token = '', fence = 0, owner = '', since = now, channel = '', isDetached = 1, length = 0,
    lease = 0, isTimed = 0, queue = number, place = number }
end
`
