-- A call on one key. ARGV: op, key, who, options as JSON or '', text or ''. Answers as in turn.lua, or with "Q" and the
-- milliseconds until the lock for which the call now waits runs out: the answer comes to who asked when it is its turn.
local call = ARGV[4] == '' and {} or cjson.decode(ARGV[4])
call.op, call.key, call.who, call.text = ARGV[1], ARGV[2], ARGV[3], ARGV[5]

-- Through the lock that the call names.
local function withToken (lock)
  if call.op == 'renew' then
    evenIfFull()
    setLease(lock, call.lease or lock.length)
    keep(lock)
    return reply('', lock.length > 0 and int(math.ceil(lock.length)) or '', '', '', '')
  end
  local answer = reply('', '', '', '', '')
  if call.op ~= 'release' then
    local isDone, result = pcall(turn, call, lock)
    if isDone then
      answer = result
    elseif string.find(type(result) == 'table' and result.err or tostring(result), 'OOM', 1, true) then
      answer = 'ESTORE_FULL'
    else
      error(result)
    end
  end
  if call.release or call.op == 'release' then
    evenIfFull()
    finish(lock, false)
  end
  return answer
end

-- The place of an acquire that still waits with the token that is named.
local function giveUp (lock)
  for _, place in ipairs(queued(lock, -1)) do
    if place[2].newToken == call.token then
      withdraw(place[1])
      answer(place[1], 'ESTORE_ABORTED')
      return reply('', '', '', '', '')
    end
  end
end

local function submit ()
  local lock = heldLock(call.key)
  if call.token then
    return lock and lock.token == call.token and withToken(lock) or lock and call.op == 'release' and giveUp(lock) or 'ESTORE_LOCK_LOST'
  end
  if not lock then return turn(call, nil) end
  if call.op == 'acquire' and lock.token == call.newToken then return 'ESTORE_LOCKED' end
  if call.op == 'break' then
    evenIfFull()
    finish(lock, true)
    return reply('', '', '1', '', '')
  end
  if call.nowait then return 'ESTORE_LOCKED' end
  if waiters(lock) >= MAX_WAITERS then return 'ESTORE_QUEUE_FULL' end
  enqueue(lock, call.who, call)
  return 'Q' .. int(runsOut(lock) - now)
end

local answer = submit()
save()
return answer
