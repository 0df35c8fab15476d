// What is to be done for a collection now and then, whoever asks: what has run out, and what was left behind.
export default String.raw`
local CHANNELS = 20 -- that one visit looks at

local function buryDead ()
  for _, channel in ipairs(redis.call('ZRANGEBYSCORE', ALIVE, '-inf', '(' .. int(now), 'LIMIT', 0, CHANNELS)) do
    if not bury(channel) then return end
  end
  -- Those whose connection is gone: others each time, where there are many.
  local count = redis.call('ZCARD', ALIVE)
  local from = count > CHANNELS and micros % count or 0
  for _, channel in ipairs(redis.call('ZRANGE', ALIVE, from, from + CHANNELS - 1)) do
    if not isConnected(channel) and not bury(channel) then return end
  end
end

local function endLeases ()
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', UNTIL, '-inf', '(' .. int(now), 'LIMIT', 0, 50)) do
    if isSpent() then return end
    if not heldLock(key) and not lockOf(key) then redis.call('ZREM', UNTIL, key) end
  end
end

local function scoreOf (set, place)
  return tonumber(redis.call('ZRANGE', set, place, place, 'WITHSCORES')[2] or 0)
end

-- When the collection is to be looked at again, and until when all of it has ended.
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

-- A bounded part of the work. What is left is told by isUnfinished, and the collection is due at once.
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

-- Saves a collection that was visited, or forgets it.
local function settle ()
  if meta.keys + meta.locks + meta.jobs + meta.clears + meta.watched + meta.subscriptions == 0 and (not packed or (meta.empty > 0 and now >= meta.empty +
    REMEMBERED)) then
    forget()
  else
    save()
  end
end

-- Looks at some of the collections that are due, in an index: the channel and life of the process that does so. Answers
-- with 1 where there are more.
function scripts.sweep (keys, args)
  begin()
  for _, base in ipairs(redis.call('ZRANGEBYSCORE', keys[1], '-inf', int(now), 'LIMIT', 0, 10)) do
    if isSpent() then return 1 end
    open(base)
    if args[1] then stay(args[1], args[2]) end
    visit()
    dueBefore = -1 -- whatever the index has
    settle()
    work = work - 5
  end
  return #redis.call('ZRANGEBYSCORE', keys[1], '-inf', int(now), 'LIMIT', 0, 1)
end

-- What a process does for a collection now and then while it uses it: a sign of life, and a look at its locks, at the
-- keys it waits for, and at its calls that wait. JSON of { channel, life, reads, mark, held: [[key, token]], keys,
-- waiting: who }, of which the lists are parts. Answers with the milliseconds until it makes sense to come again (-1:
-- nothing is to be expected), '1' where plain gets do not tell all, '1' where the process holds something or waits, "L
-- token" for locks that are not held any more and "G who" for calls that do not wait any more. Where there are such
-- calls, the mark is pushed behind their answers.
function scripts.tend (keys, args)
  begin()
  open(keys[1])
  local asked = cjson.decode(args[1])
  local found = { '', '', '0' }
  change('reads', meta.reads + asked.reads)
  if firstOf(HELD, asked.channel) or firstOf(OWNED, asked.channel) then
    isHeard(asked.channel, asked.life)
    found[3] = '1'
  else
    redis.call('ZREM', ALIVE, asked.channel)
  end
  for _, pair in ipairs(asked.held) do
    local lock = lockOf(pair[1])
    if lock and lock.lease > 0 and now > lock.lease then lock = heldLock(pair[1], lock) end
    if not lock or lock.token ~= pair[2] then found[#found + 1] = 'L ' .. pair[2] end
  end
  for _, key in ipairs(asked.keys) do
    if isSpent() then break end
    heldLock(key)
  end
  local isMissing = false
  for _, who in ipairs(asked.waiting) do
    if redis.call('HEXISTS', WAITING, who) == 0 then
      found[#found + 1] = 'G ' .. who
      isMissing = true
    end
  end
  if isMissing then tell(asked.channel, 'M ' .. int(asked.mark)) end
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

-- Gives up waiting calls, then locks: JSON of { held: [[key, token]], waiting: who }. Answers with how many of the locks
-- and of the calls it has dealt with; the rest is for the next call.
function scripts.leave (keys, args)
  begin()
  open(keys[1])
  local asked = cjson.decode(args[1])
  local held, waiting = 0, 0
  for _, who in ipairs(asked.waiting) do
    if isSpent() then break end
    local call = withdraw(who)
    if call and call.subscription then channels.unsubscribe(call.subscription) end
    waiting = waiting + 1
  end
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
