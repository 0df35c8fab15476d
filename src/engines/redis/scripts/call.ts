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
    finish(lock, false)
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

-- A call that takes more room, or reads more, than is left for one script: it goes on as if it waited for its key.
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

-- "+" before an answer: work was left behind, and somebody should look at the collection at once.
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

-- A set without options, of a free key without a ttl, in a collection of which nothing is configured, ends or is due:
-- most are. Does the same as "submit" in a third of the time; nil where there is more to it.
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

-- The calls of a process: its channel and life, then of each call: op, key, number, options as JSON or '', text or ''. In
-- place of a text, a release has the token, and an acquire that of the lock it is to have, and the owner. Answers each
-- as in turn.ts, or with "Q" and the milliseconds until the lock for which the call now waits runs out: its answer is
-- pushed when its turn comes. The answer to a single call is not in a list. "A" asks to make the call again: it goes through a lock, and some of the room that it
-- needs has been made.
function scripts.call (keys, args)
  begin()
  local channel, life = args[1], args[2]
  open(keys[1], args)
  caller = channel
  local answers = {}
  for i = 3, #args, 5 do
    answers[#answers + 1] = callOnce(args[i], args[i + 1], args[i + 2], args[i + 3], args[i + 4], channel, life)
  end
  answers[1] = answered(answers[1], channel, life)
  return #answers > 1 and answers or answers[1]
end

-- As call: for what needs memory, not run where the server has none left, and for what may have a long answer.
scripts.write, scripts.read = scripts.call, scripts.call

-- Takes a call that still waits out of its queue: who, key, token. If its turn has come already and it has brought the
-- lock of that token, which nobody wants any more, the lock ends. Answers with 1, or 0 if the call did not wait.
function scripts.cancel (keys, args)
  begin()
  open(keys[1])
  local call = withdraw(args[1])
  if not call and args[3] ~= '' then
    local lock = heldLock(args[2])
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
