// Executes a call when its turn comes: on an unlocked key, or on a locked one through its lock or between two holders.
export default String.raw`
-- A call is { op, key, channel, id, text, life }, with the options that the codec gives it; an answer is one line:
--   "R version expiresIn number fence text", with empty fields for missing values, or "E code".
-- A long text is a separate element of a table, because concatenating long strings is slow.
local function reply (version, expires, number, fence, text)
  local head = 'R' .. version .. ' ' .. expires .. ' ' .. number .. ' ' .. fence .. ' '
  return #text > LONG_TEXT and { head, text } or head .. text
end

local function refusal (entry, call)
  if call.ifAbsent and entry then return 'ESTORE_EXISTS' end
  if call.ifPresent and not entry then return 'ESTORE_NOT_FOUND' end
  if call.ifVersion and call.ifVersion ~= (entry and versionOf(entry) or '0') then return 'ESTORE_VERSION_MISMATCH' end
end

-- Whether a text is left to another script, because this one has already read enough.
local function isTooMuch (entry)
  return entry and entry.isLong and isSpent()
end

local ops = {}

local function readOp (call, lock)
  local entry = find(call.key, lock)
  if not entry then return 'R    ' end
  if call.op ~= 'head' and isTooMuch(entry) then return nil end
  if call.op ~= 'peek' then use(entry, lock) end
  if call.op == 'get' then return reply(versionOf(entry), '', '', '', textOf(entry)) end
  return reply(versionOf(entry), expiresIn(entry, lock), '', '', call.op == 'head' and '' or textOf(entry))
end
ops.get, ops.entry, ops.head, ops.peek = readOp, readOp, readOp, readOp

function ops.set (call, lock)
  local entry = find(call.key, lock)
  local refused = refusal(entry, call)
  if refused then return refused end
  local ttl = call.ttl
  if not ttl and not call.token then ttl = 0 end
  local isNew = not entry
  local written, isLater = putText(call.key, entry, call.text, ttl, lock)
  if isLater then return nil end
  return written and reply(written.version, '', isNew and '1' or '', '', '') or 'ESTORE_FULL'
end

function ops.increment (call, lock)
  local entry = find(call.key, lock)
  if call.down and not entry then return 'R  0  ' end
  local result = sum(entry, call)
  if not result then return 'ESTORE_NOT_A_NUMBER' end
  local text = jsNumber(result)
  local written, isLater = putText(call.key, entry, text, windowOf(not entry, result, call), lock)
  if isLater then return nil end
  return written and reply(written.version, expiresIn(written, lock), text, '', '') or 'ESTORE_FULL'
end

function ops.del (call, lock)
  local entry = find(call.key, lock)
  local refused = refusal(entry, call)
  if refused then return refused end
  if not entry then return 'R  0  ' end
  remove(entry, lock)
  meta.writes = meta.writes + 1
  return 'R  1  '
end

function ops.touch (call, lock)
  local entry = find(call.key, lock)
  local refused = refusal(entry, call)
  if refused then return refused end
  if not entry then return 'R  0  ' end
  if call.ttl then
    setEnd(entry, now + math.ceil(call.ttl), lock)
    store(entry)
    if not lock then enlist(entry) end
  else
    use(entry, lock)
  end
  return 'R  1  '
end

function ops.acquire (call, lock)
  local entry = find(call.key, lock)
  if isTooMuch(entry) then return nil end
  local fence = nextNumber()
  lock = lock or lockFor(fence, call.key, entry)
  lock.token, lock.fence, lock.owner, lock.since = call.newToken, fence, call.owner, now
  lock.channel, lock.isDetached, lock.place = call.channel, call.detached and 1 or 0, call.turn or fence
  setLease(lock, call.lease or 0)
  if not call.detached then
    put(HELD, heldBy(lock), true)
    isHeard(lock.channel, call.life)
  end
  keep(lock)
  return reply(entry and versionOf(entry) or '', leaseIn(lock), '', numberText(fence), entry and textOf(entry) or '')
end

ops['break'] = function () -- of a key that is not locked
  return 'R  0  '
end

function turn (call, lock)
  return ops[call.op](call, lock)
end
`
