// Periodic work of a collection, done for any caller: expiry, dead processes, and work left by earlier scripts.
export default String.raw`
local CHANNELS = 20 -- checked per visit

local function buryDead ()
  for _, channel in ipairs(redis.call('ZRANGEBYSCORE', ALIVE, '-inf', '(' .. int(now), 'LIMIT', 0, CHANNELS)) do
    if not bury(channel) then return end
  end
  -- Processes that have disconnected. If there are many, each visit checks others.
  local count = redis.call('ZCARD', ALIVE)
  local from = count > CHANNELS and micros % count or 0
  for _, channel in ipairs(redis.call('ZRANGE', ALIVE, from, from + CHANNELS - 1)) do
    if not isConnected(channel) and not bury(channel) then return end
  end
end

local function endLeases ()
  local keys = redis.call('ZRANGEBYSCORE', UNTIL, '-inf', '(' .. int(now), 'LIMIT', 0, 50)
  fetchLocks(keys)
  for _, key in ipairs(keys) do
    if isSpent() then return end
    if not heldLock(key) and not lockOf(key) then redis.call('ZREM', UNTIL, key) end
  end
end

local function scoreOf (set, place)
  return tonumber(redis.call('ZRANGE', set, place, place, 'WITHSCORES')[2] or 0)
end

-- When the collection is due for the next visit, and when everything in it has expired.
local function plan ()
  change('due', 0)
  meta.last = now
  local alive, lease, finish, used = scoreOf(ALIVE, 0), scoreOf(UNTIL, 0), scoreOf(ENDS, 0), scoreOf(IDLE, 0)
  if alive > 0 then ends(alive) end
  if meta.watched > 0 then ends(meta.watched) end
  if meta.subscriptions > 0 then ends(now + channels.UNUSED) end
  if lease > 0 then ends(lease) end
  if finish > 0 then ends(finish) end
  if used > 0 and meta.idle > 0 then ends(math.max(used, meta.tracked) / 1000 + meta.idle) end
  meta.last = math.max(meta.last, scoreOf(ALIVE, -1), scoreOf(UNTIL, -1), scoreOf(ENDS, -1))
  if meta.empty == 0 and meta.keys + meta.locks + meta.watched + meta.subscriptions == 0 then change('empty', now) end
  if meta.empty > 0 then ends(meta.empty + REMEMBERED - SLACK) end
  if isUnfinished then lookAgain() end
end

-- Does a bounded part of the work. If some is left, isUnfinished is set, and the collection is due immediately.
function visit ()
  buryDead()
  endLeases()
  if meta.jobs > 0 then stepJobs() end
  if meta.jobs > 0 then isUnfinished = true end
  sweep()
  watches.visit()
  channels.visit()
  plan()
end

-- Saves a visited collection, or removes it.
local function settle ()
  if meta.keys + meta.locks + meta.jobs + meta.clears + meta.watched + meta.subscriptions == 0 and (not packed or (meta.empty > 0 and now >= meta.empty +
    REMEMBERED)) then
    forget()
  else
    save()
  end
end

-- Visits some of the due collections in an index: the channel and life of the calling process. Returns 1 if there are
-- more.
function scripts.sweep (keys, args)
  local channel, life = unpack(args)
  begin()
  for _, base in ipairs(redis.call('ZRANGEBYSCORE', keys[1], '-inf', int(now), 'LIMIT', 0, 10)) do
    if isSpent() then return 1 end
    open(base)
    if channel then stay(channel, life) end
    visit()
    dueBefore = -1 -- whatever the index has
    settle()
    work = work - 5
  end
  return #redis.call('ZRANGEBYSCORE', keys[1], '-inf', int(now), 'LIMIT', 0, 1)
end

-- The heartbeat of a process for a collection that it uses: renews its liveness, and checks its locks, the keys it
-- waits for, and its waiting calls. JSON of { channel, life, reads, mark, held: [[key, token]], keys, waiting: who };
-- the lists are pages. Returns the milliseconds until the next visit is useful (-1: none is), '1' if plain gets are not
-- sufficient, '1' if the process holds locks or waits, "L token" for locks that it no longer holds and "G who" for
-- calls that no longer wait. If there are such calls, the mark is pushed after their replies.
function scripts.tend (keys, args)
  local asked = unpack(args)
  begin()
  open(keys[1])
  asked = cjson.decode(asked)
  local found = { '', '', '0' }
  change('reads', meta.reads + asked.reads)
  if entriesOf(HELD, asked.channel, 1)[1] or entriesOf(OWNED, asked.channel, 1)[1] then
    isHeard(asked.channel, asked.life)
    found[3] = '1'
  else
    redis.call('ZREM', ALIVE, asked.channel)
  end
  local keys = asked.keys
  local waited = #keys
  for i, pair in ipairs(asked.held) do keys[waited + i] = pair[1] end
  fetchLocks(keys)
  work = work - (#keys + #asked.waiting) / 10
  for _, pair in ipairs(asked.held) do
    local lock = lockOf(pair[1])
    if lock and lock.lease > 0 and now > lock.lease then lock = heldLock(pair[1], lock) end
    if not lock or lock.token ~= pair[2] then found[#found + 1] = 'L ' .. pair[2] end
  end
  for i = 1, waited do
    if isSpent() then break end
    heldLock(keys[i])
  end
  local isMissing = false
  for _, who in ipairs(asked.waiting) do
    if redis.call('HEXISTS', WAITING, who) == 0 then
      found[#found + 1] = 'G ' .. who
      isMissing = true
    end
  end
  if isMissing then tell(asked.channel, 'M ' .. asked.mark) end
  visit()
  local next = -1
  local lease, alive = scoreOf(UNTIL, 0), scoreOf(ALIVE, 0)
  if lease > 0 then next = math.max(0, lease - now + 1) end
  if alive > 0 and meta.locks > 0 then next = math.min(next < 0 and math.huge or next, math.max(0, alive - now + 1)) end
  if meta.watched > 0 and #asked.waiting > 0 then
    next = math.min(next < 0 and math.huge or next, watches.nextEnd())
  end
  if isUnfinished then next = 0 end
  settle()
  found[1] = int(next)
  found[2] = (meta.marked == 1 or redis.call('EXISTS', ENDS) == 1) and '1' or '0'
  return found
end

-- Ends waiting calls, then locks: JSON of { held: [[key, token]], waiting: who }. Returns how many of the locks and of
-- the calls it has processed; the next call continues.
function scripts.leave (keys, args)
  local asked = unpack(args)
  begin()
  open(keys[1])
  asked = cjson.decode(asked)
  local held, waiting = 0, 0
  for _, who in ipairs(asked.waiting) do
    if isSpent() then break end
    local call = withdraw(who)
    if call and call.subscription then channels.unsubscribe(call.subscription) end
    waiting = waiting + 1
  end
  local keys = {}
  for i, pair in ipairs(asked.held) do keys[i] = pair[1] end
  fetchLocks(keys)
  for _, pair in ipairs(asked.held) do
    if isSpent() then break end
    local lock = lockOf(pair[1])
    if lock and lock.token == pair[2] then finish(lock, false) end
    held = held + 1
  end
  answered('')
  return { held, waiting }
end
`
