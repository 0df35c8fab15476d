-- Locked keys: who holds them, and who waits for them in which order. "Who" is a process's channel and the number that the
-- process gave its call; the number begins with "-" where nobody wants to know.
local MAX_WAITERS = 65536
-- Bytes of an answer that is told; a longer one is to be fetched, as a server cuts off who has too much to listen to. And the
-- milliseconds for which it is kept for that.
local LONG = 65536
local LONG_KEPT = 60000

local turn -- what a call does when its turn comes, from turn.lua
local subscribed = {}

-- Whether the process of a channel is connected, where that can be told: not in a Redis Cluster, where it may be to another node.
local function isAlive (channel)
  if string.sub(channel, -1) ~= '1' then return true end
  if subscribed[channel] == nil then subscribed[channel] = redis.call('PUBSUB', 'NUMSUB', channel)[2] > 0 end
  return subscribed[channel]
end

local function tell (channel, message)
  redis.call('PUBLISH', channel, message)
end

local function answer (who, reply)
  local channel, id = string.match(who, '^(.*) (%d+)$')
  if not channel then return end
  if #reply > LONG then
    redis.call('HSET', KEPT, who, reply)
    redis.call('PEXPIRE', KEPT, LONG_KEPT)
    reply = 'F'
  end
  tell(channel, id .. ' ' .. reply)
end

local function lockOf (key)
  local packed = redis.call('HGET', RECORDS, '!' .. key)
  if not packed then return nil end
  local lock = cmsgpack.unpack(packed)
  lock.key = key
  return lock
end

-- When a lock runs out: by its lease, or because its process has given no sign of life.
local function runsOut (lock)
  if lock.lease == 0 then return lock.life end
  if lock.life == 0 then return lock.lease end
  return math.min(lock.lease, lock.life)
end

local function keep (lock)
  redis.call('HSET', RECORDS, '!' .. lock.key, cmsgpack.pack(lock))
  redis.call('ZADD', UNTIL, int(runsOut(lock)), lock.key)
end

-- `lease` and `life`: milliseconds from now, 0 for none. `length` keeps the lease for who renews it without naming one.
local function setLease (lock, lease)
  lock.length = lease
  lock.lease = lease > 0 and now + math.ceil(lease) or 0
end

local function setLife (lock, life)
  lock.life = life > 0 and now + life or 0
end

local function leaseIn (lock)
  return lock.lease == 0 and '' or int(math.max(0, lock.lease - now))
end

local function queueOf (lock)
  local from = string.format('%016.0f', lock.queue)
  return '[' .. from .. ':', '(' .. from .. ';'
end

local function waiters (lock)
  return redis.call('ZLEXCOUNT', QUEUE, queueOf(lock))
end

-- Of a lock: key, owner, fence, since, when its lease ends ('' without) and how many wait.
local function described (lock)
  return { lock.key, lock.owner, int(lock.fence), int(lock.since), lock.lease > 0 and int(lock.lease) or '', int(waiters(lock)) }
end

local function enqueue (lock, who, call)
  call.since = now
  call.place = string.format('%016.0f:%016.0f:%s', lock.queue, nextNumber(), who)
  redis.call('ZADD', QUEUE, 0, call.place)
  redis.call('HSET', WAITING, who, cmsgpack.pack(call))
end

-- Takes a call out of its queue; nil if it does not wait.
local function withdraw (who)
  local packed = redis.call('HGET', WAITING, who)
  if not packed then return nil end
  local call = cmsgpack.unpack(packed)
  redis.call('HDEL', WAITING, who)
  redis.call('ZREM', QUEUE, call.place)
  return call
end

-- Calls that wait for a lock, the first `limit` in their order, as { who, call }.
local function queued (lock, limit)
  local from, to = queueOf(lock)
  local found = {}
  for _, place in ipairs(redis.call('ZRANGEBYLEX', QUEUE, from, to, 'LIMIT', 0, limit)) do
    local who = string.sub(place, 35)
    local packed = redis.call('HGET', WAITING, who)
    if packed then found[#found + 1] = { who, cmsgpack.unpack(packed) } end
  end
  return found
end

-- A process was gone at that time: nothing that it asked before waits for it any more.
local function forget (channel, time)
  for _, who in ipairs(redis.call('HKEYS', WAITING)) do
    if string.sub(who, 1, #channel + 1) == channel .. ' ' then
      local call = cmsgpack.unpack(redis.call('HGET', WAITING, who))
      if call.since <= time then withdraw(who) end
    end
  end
end

-- Ends a hold and serves who waits: all up to the next one that takes the lock.
local function finish (lock, isLost)
  if isLost then
    tell(lock.channel, 'L ' .. lock.token)
    if lock.life > 0 and now > lock.life then forget(lock.channel, lock.life) end
  end
  lock.token = ''
  while lock.token == '' do
    local from, to = queueOf(lock)
    local place = redis.call('ZRANGEBYLEX', QUEUE, from, to, 'LIMIT', 0, 1)[1]
    if not place then
      redis.call('HDEL', RECORDS, '!' .. lock.key)
      redis.call('ZREM', UNTIL, lock.key)
      local entry = load(lock.key)
      if entry then
        if entry.finish > 0 and now > entry.finish then expire(entry) else enlist(entry) end
      end
      return
    end
    local who = string.sub(place, 35)
    local call = withdraw(who)
    if call.part then -- of a clear, which is answered after the last of its parts
      local reply = turn(call, lock)
      if redis.call('HINCRBY', WAITING, 'parts ' .. call.part, -1) == 0 then
        redis.call('HDEL', WAITING, 'parts ' .. call.part)
        answer(call.part, reply)
      end
    elseif isAlive(string.match(who, '^(.*) ')) then
      answer(who, turn(call, lock))
    end
  end
end

local function isOut (lock)
  return now > runsOut(lock) or (lock.life > 0 and not isAlive(lock.channel))
end

-- The lock of a key, if it is held by somebody who has not lost it.
local function heldLock (key)
  local lock = lockOf(key)
  while lock and isOut(lock) do
    evenIfFull()
    finish(lock, true)
    lock = lockOf(key)
  end
  return lock
end
