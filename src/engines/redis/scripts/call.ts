// Calls on one key, and what is asked about them later.
export default String.raw`
-- Through the lock that the call names.
local function withToken (call, lock)
  if call.op == 'renew' then
    setLease(lock, call.lease or lock.length)
    keep(lock)
    return reply('', lock.length > 0 and int(math.ceil(lock.length)) or '', '', '', '')
  end
  if call.op == 'release' then
    finish(lock, false, call.record)
    return 'R    '
  end
  local answer = turn(call, lock)
  if not answer then return 'A' end
  if call.release then finish(lock, false) end
  return answer
end

-- The place of an acquire that still waits with the token that is named.
local function giveUp (call)
  local who = redis.call('HGET', WAITING, 'token ' .. call.token)
  if not who or not withdraw(who) then return 'ESTORE_LOCK_LOST' end
  answer(who, 'ESTORE_ABORTED')
  return 'R    '
end

-- A write that takes more room than one script makes: it goes on as if it waited for its key.
local function postpone (call)
  local entry = load(call.key)
  if entry then
    unlist(entry)
    pin(entry, 1)
  end
  meta.locks = meta.locks + 1
  local lock = serving(call.key, nextNumber())
  enqueue(lock, call)
  leaveToNext(lock)
  return 'Q0'
end

local function submit (call, lock)
  if lock and (lock.token == '' or isOut(lock, call.token and channelOf(call.who))) then
    call.record = nil
    lock = heldLock(call.key, lock)
  end
  if call.token then
    if lock and lock.token == call.token then return withToken(call, lock) end
    return call.op == 'release' and giveUp(call) or 'ESTORE_LOCK_LOST'
  end
  if not lock then return turn(call, nil) or postpone(call) end
  if call.op == 'acquire' and lock.token == call.newToken then return 'ESTORE_LOCKED' end
  if call.op == 'break' then
    if call.number and call.number ~= lock.fence then return 'R  0  ' end
    finish(lock, true)
    return 'R  1  '
  end
  if call.nowait then return 'ESTORE_LOCKED' end
  if waiters(lock) >= MAX_WAITERS then return 'ESTORE_QUEUE_FULL' end
  enqueue(lock, call)
  return 'Q' .. int(math.max(0, runsOut(lock) - now))
end

local visit -- from visit.ts

-- "+" before an answer: work was left behind, and somebody should look at the collection at once.
local function answered (answer)
  if meta.due > 0 and now >= meta.due then visit() end
  save()
  return isUnfinished and '+' .. answer or answer
end

-- A set without options, of a free key without a ttl, in a collection of which nothing is configured, ends or is due:
-- most are. Does the same as "submit" and "answered", in a third of their time; nil where there is more to it.
local function setPlainly (key, record, text)
  local m = meta
  if isRestChanged or not isRestZero or (m.due > 0 and now >= m.due) then return nil end
  -- The 16 digits of a version, then the end.
  if record and string.sub(record, 17, 19) ~= ' 0 ' then return nil end
  local seq = m.seq + 1
  if seq < micros then seq = micros end
  local isNew = ''
  if record then
    m.bytes = m.bytes + #text - #record + 19
  else
    isNew = '1'
    m.bytes = m.bytes + #key + #text
    m.keys = m.keys + 1
    m.endless = m.endless + 1
    redis.call('ZADD', NAMES, 0, key)
  end
  m.seq, m.writes = seq, m.writes + 1
  local version = numberText(seq)
  if m.watched > 0 then watches.note('s', key, version, text) end
  local after = pack()
  redis.call('HSET', RECORDS, ':' .. key, version .. ' 0 ' .. text, '#', after)
  current = after
  return 'R' .. version .. '  ' .. isNew .. '  '
end

local scripts = {}

-- op, key, who, options as JSON or '', text or '', life. In place of a text, a release has the token, and an acquire
-- that of the lock it is to have, and the owner. Answers as in turn.ts, or with "Q" and the milliseconds until the lock
-- for which the call now waits runs out: its answer is pushed when its turn comes. "A" asks to make the call again: it
-- goes through a lock, and some of the room that it needs has been made.
function scripts.call (keys, args)
  begin()
  local key = args[2]
  local record, lock = open(keys[1], key)
  if packed and not lock and args[4] == '' and args[1] == 'set' then
    local answer = setPlainly(key, record, args[5])
    if answer then return answer end
  end
  local call
  if args[1] == 'release' then
    call = { op = 'release', key = key, who = args[3], token = args[5], record = record }
  elseif args[4] == '' then
    call = { op = args[1], key = key, who = args[3], text = args[5], life = args[6], record = record }
  else
    call = cjson.decode(args[4])
    call.op, call.key, call.who, call.text, call.life, call.record = args[1], key, args[3], args[5], args[6], record
  end
  if call.op == 'acquire' then call.newToken, call.owner = string.match(args[5], '^(%S+) (.*)$') end
  return answered(submit(call, lockFrom(key, lock)))
end

-- As call, for what needs memory: not run where the server has none left.
scripts.write = scripts.call

-- Takes a call that still waits out of its queue: who, key, token. If its turn has come already and it has brought the
-- lock of that token, which nobody wants any more, the lock ends. Answers with 1, or 0 if the call did not wait.
function scripts.cancel (keys, args)
  begin()
  local _, lock = open(keys[1], args[2])
  local call = withdraw(args[1])
  if not call and args[3] ~= '' then
    lock = heldLock(args[2], lockFrom(args[2], lock))
    if lock and lock.token == args[3] then finish(lock, false) end
  end
  save()
  return call and 1 or 0
end

-- The text of an answer that was too long to be told: version. Each that was told of it fetches it once.
function scripts.fetch (keys, args)
  setBase(keys[1])
  local kept = keptAt(args[1])
  local text = redis.call('HGET', kept, 'text')
  if text and redis.call('HINCRBY', kept, 'left', -1) < 1 then redis.call('UNLINK', kept) end
  return text
end
`
