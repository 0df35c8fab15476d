-- What a call does when its turn comes: on a free key, or on a locked one through its lock or between two holders of it.
-- A call is { op, key, who, text }, with the options that engine.ts gives it; an answer is one line:
--   "R version expiresIn number fence text", with nothing where there is none, or "E code".
local function reply (version, expires, number, fence, text)
  return table.concat({ 'R' .. version, expires, number, fence, text }, ' ')
end

local function refusal (entry, call)
  if call.ifAbsent and entry then return 'ESTORE_EXISTS' end
  if call.ifVersion and call.ifVersion ~= (entry and entry.version or '0') then return 'ESTORE_VERSION_MISMATCH' end
end

local ops = {}

local function readOp (call, lock)
  local entry = find(call.key, lock)
  if not entry then return reply('', '', '', '', '') end
  if call.op ~= 'peek' then use(entry, lock) end
  return reply(entry.version, expiresIn(entry, lock), '', '', call.op == 'head' and '' or entry.text)
end
ops.get, ops.entry, ops.head, ops.peek = readOp, readOp, readOp, readOp

function ops.set (call, lock)
  local entry = find(call.key, lock)
  local refused = refusal(entry, call)
  if refused then return refused end
  local ttl = call.ttl
  if not ttl and not call.token then ttl = 0 end
  local written = put(call.key, entry, call.text, ttl, lock)
  return written and reply(written.version, '', entry and '' or '1', '', '') or 'ESTORE_FULL'
end

function ops.increment (call, lock)
  local entry = find(call.key, lock)
  if call.down and not entry then return reply('', '', '0', '', '') end
  local result = sum(entry, call)
  if not result then return 'ESTORE_NOT_A_NUMBER' end
  local text = jsNumber(result)
  local written = put(call.key, entry, text, windowOf(not entry, result, call), lock)
  return written and reply(written.version, expiresIn(written, lock), text, '', '') or 'ESTORE_FULL'
end

function ops.del (call, lock)
  local entry = find(call.key, lock)
  local refused = refusal(entry, call)
  if refused then return refused end
  if not entry then return reply('', '', '0', '', '') end
  remove(entry)
  meta.writes = meta.writes + 1
  return reply('', '', '1', '', '')
end

function ops.touch (call, lock)
  local entry = find(call.key, lock)
  if not entry then return reply('', '', '0', '', '') end
  use(entry, lock)
  if call.ttl then setEnd(entry, call.ttl, lock) end
  return reply('', '', '1', '', '')
end

function ops.acquire (call, lock)
  local entry = find(call.key, lock)
  if entry and not lock then unlist(entry) end
  local fence = nextNumber()
  lock = lock or { key = call.key, queue = fence }
  lock.token = call.newToken
  lock.fence = fence
  lock.owner = call.owner
  lock.since = now
  lock.channel = string.match(call.who, '^(.*) ')
  setLease(lock, call.lease or 0)
  setLife(lock, call.life)
  keep(lock)
  return reply(entry and entry.version or '', leaseIn(lock), '', int(fence), entry and entry.text or '')
end

ops['break'] = function () -- of a key that is not locked
  return reply('', '', '0', '', '')
end

function turn (call, lock)
  return ops[call.op](call, lock)
end
