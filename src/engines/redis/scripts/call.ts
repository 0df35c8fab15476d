// Calls on one key.
export default String.raw`
-- A call through a lock, by its token.
local function withToken (call, lock)
  if call.op == 'renew' then
    setLease(lock, call.lease or lock.length)
    keep(lock)
    return reply('', lock.length > 0 and int(math.ceil(lock.length)) or '', '', '', '')
  end
  if call.op == 'release' then
    finish(lock, false)
    return 'R    '
  end
  local answer = turn(call, lock)
  if not answer then return 'A' end
  if call.release then finish(lock, false) end
  return answer
end

-- The place of the acquire that waits with this token.
local function giveUp (call)
  local who = redis.call('HGET', WAITING, 'token ' .. call.token)
  if not who or not withdraw(who) then return 'ESTORE_LOCK_LOST' end
  answer(who, 'ESTORE_ABORTED')
  return 'R    '
end

-- A call that needs more evictions or reads than one script may do: it continues as if it waited for its key.
local function postpone (call)
  local lock = lockFor(nextNumber(), call.key, load(call.key))
  enqueue(lock, call)
  leaveToNext(lock)
  return 'Q0'
end

local function submit (call, lock)
  if lock and (lock.token == '' or isOut(lock)) then
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
  if meta.waits >= MAX_WAITERS and waiters(lock) >= MAX_WAITERS then return 'ESTORE_QUEUE_FULL' end
  enqueue(lock, call)
  return 'Q' .. int(math.max(0, runsOut(lock) - now))
end

local visit -- from visit.ts

-- "+" before a reply: work is left, so the collection should be visited immediately.
local function answered (answer, channel, life)
  if meta.due > 0 and now >= meta.due then
    if channel then stay(channel, life) end
    visit()
  end
  save()
  if isUnfinished then
    if type(answer) == 'table' then answer[1] = '+' .. answer[1] else answer = '+' .. answer end
  end
  return answer
end

-- The common case: a set without options, of an unlocked key without a ttl, in a collection without options, expiry or
-- due work. Does the same as "submit" in a third of the time; nil in all other cases.
local function setPlainly (key, record, text)
  local m = meta
  if isRestChanged or not isRestZero or not packed or #text > LONG_TEXT then return nil end
  -- The 16 digits of a version, then the end.
  if record and string.sub(record, 17, 19) ~= ' 0 ' then return nil end
  local isNew = ''
  if record then
    m.bytes = m.bytes + #text - #record + 19
  else
    isNew = '1'
    m.bytes = m.bytes + #key + #text
    m.keys = m.keys + 1
    m.endless = m.endless + 1
    put(NAMES, key, true)
  end
  m.writes = m.writes + 1
  local version = numberText(nextNumber())
  if m.watched > 0 then watches.note('s', key, version, text) end
  write(':' .. key, version .. ' 0 ' .. text)
  return 'R' .. version .. '  ' .. isNew .. '  '
end

local function callOnce (op, key, number, options, text, channel, life)
  local record, lock = stored(key)
  if op == 'set' and options == '' and not lock then
    local answer = setPlainly(key, record, text)
    if answer then return answer end
  end
  local call = { op = op, key = key, channel = channel, id = number, life = life, text = text, token = nil, owner = nil }
  if op == 'release' then
    call.token = text
  elseif op == 'acquire' then
    local space = string.find(text, ' ', 1, true)
    call.newToken, call.owner = string.sub(text, 1, space - 1), string.sub(text, space + 1)
  end
  if options ~= '' then
    for name, value in pairs(cjson.decode(options)) do call[name] = value end
  end
  return submit(call, lockFrom(key, lock))
end

local scripts = {}

-- Calls of one process: its channel and life, then for each call: op, key, number, options as JSON or '', text or ''. In
-- place of a text, a release has the token, and an acquire the token of the new lock and the owner. Replies to each as in
-- turn.ts, or with "Q" and the milliseconds until the lock that it now waits for expires: its reply is pushed when its
-- turn comes. The reply to a single call is not in a list. "A" asks to make the call again: it goes through a lock, and
-- only some of the evictions it needs have been made.
function scripts.call (keys, args)
  begin()
  local channel, life = unpack(args, 1, 2)
  open(keys[1], args)
  caller = channel
  local answers = {}
  for i = 3, #args, 5 do
    local op, key, number, options, text = unpack(args, i, i + 4)
    answers[#answers + 1] = callOnce(op, key, number, options, text, channel, life)
  end
  answers[1] = answered(answers[1], channel, life)
  return #answers > 1 and answers or answers[1]
end

-- Like call: "write" for calls that need memory, which the server rejects if it is full; "read" for long replies.
scripts.write, scripts.read = scripts.call, scripts.call

-- Removes a waiting call from its queue: who, key, token. If it was already granted the lock of that token, the lock
-- ends. Returns 1, or 0 if the call did not wait.
function scripts.cancel (keys, args)
  local who, key, token = unpack(args)
  begin()
  open(keys[1])
  local call = withdraw(who)
  if not call and token ~= '' then
    local lock = heldLock(key)
    if lock and lock.token == token then finish(lock, false) end
  end
  save()
  return call and 1 or 0
end

-- The text of a reply that was too long to be pushed: version. Each waiter that got the reply fetches it once.
function scripts.fetch (keys, args)
  local version = unpack(args)
  setBase(keys[1])
  local kept = keptAt(version)
  local text = redis.call('HGET', kept, 'text')
  if text and redis.call('HINCRBY', kept, 'left', -1) < 1 then redis.call('UNLINK', kept) end
  return text
end
`
