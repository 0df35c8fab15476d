// Calls that wait for a locked key, and the replies pushed to them.
export default String.raw`
local MAX_WAITERS = 65536
-- Maximum size of a reply that is pushed. Longer ones have to be fetched, because a server disconnects subscribers
-- whose output buffer grows too large. They are kept for LONG_KEPT milliseconds.
local LONG = 1024
local LONG_KEPT = 60000

local turn -- what a call does when its turn comes, from turn.ts

local function tell (channel, message)
  redis.call('PUBLISH', channel, message)
end

local function keptAt (version)
  return BASE .. ':kept:' .. version
end

local function answer (who, reply)
  local channel, id = string.match(who, '^(.*) (%d+)$')
  if not channel then return end
  if type(reply) == 'string' and #reply > LONG then
    local at = string.match(reply, '^R%d* %S* %S* %S* ()')
    reply = { string.sub(reply, 1, at - 1), string.sub(reply, at) }
  end
  if type(reply) == 'table' then
    local head, text = unpack(reply)
    local kept = keptAt(string.match(head, '^R(%d*)'))
    if redis.call('HINCRBY', kept, 'left', 1) == 1 then redis.call('HSET', kept, 'text', text) end
    redis.call('PEXPIRE', kept, LONG_KEPT)
    reply = 'F' .. string.sub(head, 2)
  end
  tell(channel, id .. ' ' .. reply)
end

local function queueOf (lock)
  local from = string.format(PADDED, lock.queue)
  return '[' .. from .. ':', '(' .. from .. ';'
end

local function waiters (lock)
  putAll()
  return redis.call('ZLEXCOUNT', QUEUE, queueOf(lock))
end

-- "call": as in turn.ts, with additional fields for the wait.
local function wait (who, call)
  meta.waits = meta.waits + 1
  call.since = now
  if call.newToken then
    hset(WAITING, who, cmsgpack.pack(call), 'token ' .. call.newToken, who)
  else
    hset(WAITING, who, cmsgpack.pack(call))
  end
  put(OWNED, who, true)
  isHeard(channelOf(who), call.life)
end

local function enqueue (lock, call)
  local who = call.channel .. ' ' .. call.id
  call.place = string.format(PADDED .. ':' .. PADDED .. ':%s', lock.queue, nextNumber(), who)
  put(QUEUE, call.place, true)
  wait(who, call)
end

local function waiting (who)
  local stored = redis.call('HGET', WAITING, who)
  if not stored then return nil end
  work = work - #stored / BYTES_OF_WORK
  return cmsgpack.unpack(stored)
end

-- Removes a call from its queue; nil if it does not wait. "call": the call, if known.
local function withdraw (who, call)
  call = call or waiting(who)
  if not call then return nil end
  meta.waits = meta.waits - 1
  if call.newToken then
    redis.call('HDEL', WAITING, who, 'token ' .. call.newToken)
  else
    redis.call('HDEL', WAITING, who)
  end
  put(OWNED, who, false)
  if call.place then
    put(QUEUE, call.place, false)
  elseif call.op == 'watch' then
    watches.disarm(call, who)
  elseif call.op == 'subscribe' then
    channels.left(call, who)
  else
    redis.call('ZREM', CLEARS, who)
    change('clears', meta.clears - 1)
  end
  work = work - 3
  return call
end

-- The clears that wait for a lock, as { who, call, number }.
local function clearsOf (lock)
  local found = {}
  if meta.clears == 0 then return found end
  local stored = redis.call('ZRANGEBYSCORE', CLEARS, '(' .. int(lock.place), 'inf', 'WITHSCORES')
  for i = 1, #stored, 2 do
    local call = waiting(stored[i])
    if call and startsWith(lock.key, call.prefix) then
      found[#found + 1] = { stored[i], call, tonumber(stored[i + 1]) } end
  end
  work = work - #stored / 4
  return found
end

-- Describes a lock: key, owner, fence, since, when its lease expires ('' if never), and the number of waiters.
local function described (lock)
  work = work - 1
  local count = waiters(lock) + #clearsOf(lock)
  return { lock.key, lock.owner, int(lock.fence), int(lock.since), lock.lease > 0 and int(lock.lease) or '',
    int(count) }
end

-- Applies the clears requested before the call of that number, or all clears, to a key whose lock has ended.
local function applyClears (lock, number)
  local due = redis.call('ZRANGEBYSCORE', CLEARS, '(' .. int(lock.place), number and '(' .. int(number) or 'inf',
    'WITHSCORES',
    'LIMIT', 0, 50)
  for i = 1, #due, 2 do
    local who = due[i]
    local call = waiting(who)
    lock.place = tonumber(due[i + 1])
    if not call or not isAlive(channelOf(who)) then
      if not withdraw(who) then redis.call('ZREM', CLEARS, who) end
    elseif startsWith(lock.key, call.prefix) then
      local entry = load(lock.key)
      if entry then remove(entry, lock) end
      call.left = call.left - 1
      if call.left > 0 then
        hset(WAITING, who, cmsgpack.pack(call))
      else
        withdraw(who)
        answer(who, 'R    ')
      end
    end
    work = work - 2
  end
  return #due < 100
end

local function free (lock, entry)
  write('!' .. lock.key, false)
  put(HELD, '\255' .. lock.key, false)
  untime(lock)
  meta.locks = meta.locks - 1
  if not entry then return end
  pin(entry, -1)
  enlist(entry)
end

-- Returns "who" of a place in a queue, and its number.
local function placed (place)
  return string.sub(place, 35), tonumber(string.sub(place, 18, 33))
end

-- The first in a queue.
local function firstIn (lock)
  putAll()
  local from, to = queueOf(lock)
  return redis.call('ZRANGEBYLEX', QUEUE, from, to, 'LIMIT', 0, 8)
end

local function leaveToNext (lock)
  time(lock, 0)
  keep(lock)
  lookAgain()
  isUnfinished = true
end

-- Serves the waiters of a key without a holder, up to the next one that gets the lock. If that is too much for one
-- script, the next script continues; until then the lock has no holder.
local function serve (lock)
  local places, at = {}, 1
  while lock.token == '' and not isSpent() do
    if not places[at] then places, at = firstIn(lock), 1 end
    local place = places[at]
    local who, number
    if place then who, number = placed(place) end
    if meta.jobs > 0 then spare(lock, number) end
    local isReached = meta.clears == 0 or applyClears(lock, number)
    if not isReached then break end
    if not who then return free(lock, load(lock.key)) end
    local call, channel = waiting(who), channelOf(who)
    if not call or not isAlive(channel) then
      if not withdraw(who, call) then put(QUEUE, place, false) end
    else
      call.turn, call.channel = number, channel
      local reply = turn(call, lock)
      if not reply then break end -- it is not done yet
      withdraw(who, call)
      lock.place = number
      answer(who, reply)
    end
    at = at + 1
  end
  if lock.token == '' then leaveToNext(lock) end
end

-- Ends the current grant of a lock.
local function finish (lock, isLost)
  if isLost and lock.channel ~= '' then tell(lock.channel, 'L ' .. lock.token) end
  if lock.isDetached == 0 then put(HELD, heldBy(lock), false) end
  lock.token, lock.owner, lock.lease, lock.isDetached = '', '', 0, 1
  work = work - 2
  local entry = find(lock.key, lock) -- a ttl that has passed takes effect
  if meta.waits > 0 then return serve(lock) end
  if meta.jobs > 0 then spare(lock) end
  free(lock, entry)
end

-- The lock of a key, if its holder has not lost it, or if other waiters come first.
local function heldLock (key, lock)
  lock = lock or lockOf(key)
  while lock and (lock.token == '' or isOut(lock)) do
    if isSpent() then return lock end
    if lock.token == '' then serve(lock) else finish(lock, true) end
    lock = lockOf(key)
  end
  return lock
end

-- Ends the locks and waits of a process within the work budget. Returns true if all are ended.
local function bury (channel)
  while true do
    local held = entriesOf(HELD, channel, 8)
    local owned = held[1] and held or entriesOf(OWNED, channel, 8)
    if not owned[1] then
      redis.call('ZREM', ALIVE, channel)
      return true
    end
    for _, entry in ipairs(owned) do
      if isSpent() then return false end
      work = work - 1
      if owned == held then
        put(HELD, entry, false)
        local lock = lockOf(keyIn(entry))
        if lock and lock.isDetached == 0 and lock.channel == channel then finish(lock, true) end
      else
        put(OWNED, entry, false)
        if not withdraw(entry) then channels.bury(entry) end
      end
    end
  end
end
`
