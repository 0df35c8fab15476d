// Listings of keys, locks and collections, in pages.
export default String.raw`
-- The number of keys that have not expired. Cleared keys may count until they are removed.
local function keyCount ()
  return math.max(0, meta.keys - pastKeys())
end

-- A step of a page of names, in order: the name after which it starts, the limit, the prefix, and '' unless it is for a
-- dump. Returns the JSON of the keys as in core/engine.ts, the last name if there may be more, how many names it has
-- examined, and the values of a dump.
function scripts.scan (keys, args)
  local after, limit, prefix, isDump = unpack(args)
  local MAX_BYTES = 262144 -- of texts, unless the first is longer
  local MAX_KEYS = 100
  begin()
  open(keys[1])
  limit, isDump = math.min(MAX_KEYS, tonumber(limit)), isDump ~= ''
  local from, to = rangeOf(prefix, after)
  local names = redis.call('ZRANGEBYLEX', NAMES, from, to, 'LIMIT', 0, limit)
  local found, values = {}, {}
  local bytes, last, examined = 0, nil, 0
  for i, key in ipairs(names) do
    if isSpent() then break end -- cleared keys may have been removed
    if meta.tracked > 0 then work = work - 1 end -- a command of its own reads the last use
    fetch(names, i)
    local record, lock = stored(key)
    lock = lockFrom(key, lock)
    local entry = load(key, record)
    if entry then
      local size = entry.bytes - #key
      if isDump or not entry.isLong then bytes = bytes + size end
      if bytes > MAX_BYTES and #found > 0 then break end
      if not isPast(entry, lock) then
        local left = isDump and entry.finish == 0 and '' or expiresIn(entry, lock)
        found[#found + 1] = '[' .. cjson.encode(key) .. ',' .. versionOf(entry) .. ',' .. (left == '' and 'null' or
          left) .. (isDump and '' or ',' .. size) .. ']'
        if isDump then values[#values + 1] = textOf(entry) end
      end
    end
    last, examined = key, i
  end
  local isEnd = examined == #names and #names < limit
  if meta.jobs > 0 then save() end -- cleared keys may have been removed
  return { table.concat(found, ','), not isEnd and last or false, examined, unpack(values) }
end

-- The number of keys, or -1 to ask again, while cleared keys are being removed.
function scripts.size (keys)
  begin()
  open(keys[1])
  if meta.jobs > 0 then
    stepJobs()
    save()
    for _, job in ipairs(jobs()) do
      if job.kind == 'wipe' then return -1 end
    end
  end
  return keyCount()
end

-- Counters and options, in the order of a reply to "collections".
local function counters ()
  putAll()
  return {
    int(keyCount()), int(meta.bytes), int(meta.locks), int(redis.call('ZCARD', QUEUE) + meta.clears), int(meta.reads),
      int(meta.writes),
    int(meta.expired), int(meta.evicted), int(meta.idle), int(meta.maxKeys), int(meta.maxBytes), int(meta.near),
    int(1 - meta.refuse)
  }
end

-- The counters and options of one collection; nothing if it does not exist.
function scripts.describe (keys)
  begin()
  open(keys[1])
  if not packed and not isConfigured() then return {} end
  if packed then
    visit()
    save()
  end
  return counters()
end

-- A page of the collections in an index, in order: the base after which it starts, the limit, '1' for only those with
-- locked keys. Returns the last base of the page if there may be more, then the base and the counters of each. A
-- collection that no longer exists is removed from the index.
function scripts.list (keys, args)
  local after, limit, isLocked = unpack(args)
  begin()
  limit = tonumber(limit)
  local bases = redis.call('ZRANGEBYLEX', (string.gsub(keys[1], 'due$', 'bases')), after == '' and '-' or '(' .. after,
    '+', 'LIMIT', 0, limit)
  local found = { bases[limit] or false }
  for _, base in ipairs(bases) do
    open(base)
    if not packed and not isConfigured() then
      forget()
    elseif isLocked ~= '1' or meta.locks > 0 then
      found[#found + 1] = { base, counters() }
    end
  end
  return found
end

-- A page of the locks of a collection, in the order of their keys: the key behind which it begins, how many to look at,
-- at most. Answers with the last key if there may be more, then what "described" returns for each lock.
function scripts.held (keys, args)
  local after, limit = unpack(args)
  begin()
  open(keys[1])
  limit = tonumber(limit)
  putAll()
  local from, to = rangeOf('\255', after == '' and '' or '\255' .. after)
  local names = redis.call('ZRANGEBYLEX', HELD, from, to, 'LIMIT', 0, limit)
  local found, last = { false }, nil
  local locked = {}
  for i, name in ipairs(names) do locked[i] = string.sub(name, 2) end
  fetchLocks(locked)
  for _, name in ipairs(names) do
    if last and isSpent() then break end
    last = string.sub(name, 2)
    local lock = heldLock(last)
    if lock and lock.token ~= '' then found[#found + 1] = described(lock) end
  end
  save()
  local isEnd = not last or (#names < limit and names[#names] == '\255' .. last)
  found[1] = not isEnd and last
  return found
end

-- The lock of a key, as in held, then owner, op and since of each of the first hundred waiters. Nothing if it is not
-- locked.
function scripts.queue (keys, args)
  local key = unpack(args)
  begin()
  open(keys[1])
  local lock = heldLock(key)
  save()
  if not lock or lock.token == '' then return {} end
  local places = clearsOf(lock)
  putAll()
  local from, to = queueOf(lock)
  for _, place in ipairs(redis.call('ZRANGEBYLEX', QUEUE, from, to, 'LIMIT', 0, 100)) do
    if isSpent() then break end -- they have long texts
    local who, number = placed(place)
    local call = waiting(who)
    if call then places[#places + 1] = { who, call, number } end
  end
  table.sort(places, function (a, b) return a[3] < b[3] end)
  local found = { described(lock) }
  for i = 1, math.min(100, #places) do
    local who, call = unpack(places[i])
    found[#found + 1] = { call.owner or channelOf(who), call.op, int(call.since) }
  end
  return found
end
`
