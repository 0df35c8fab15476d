// Keys with a value, and their expiry.
export default String.raw`
local isWiped -- from jobs.ts

local BYTES_OF_WORK = 8192 -- read, written or freed per unit of work
local LONG_TEXT = 8192     -- longer texts are stored in a separate field

-- The entry of a key, even if it has expired; nil if it has no value. "record": its stored record, if known.
local function load (key, record)
  if record == nil then record = read(':' .. key) end
  if not record then return nil end
  local space, last, finish, bytes = 17, 19, 0, nil -- for the common case without a ttl
  if string.sub(record, 17, 19) ~= ' 0 ' then
    space = string.find(record, ' ', 1, true)
    last = string.find(record, ' ', space + 1, true)
    if string.byte(record, space + 1) == 61 then
      finish, bytes = tonumber(string.sub(record, space + 2, last - 1)), tonumber(string.sub(record, last + 1))
    else
      finish = tonumber(string.sub(record, space + 1, last - 1))
    end
  end
  local entry = { key = key, record = record, space = space, last = last, finish = finish, isLong = bytes ~= nil,
    bytes = #key + (bytes or #record - last), version = nil, text = nil, used = nil }
  if meta.jobs > 0 and isWiped(entry) then return nil end
  return entry
end

-- Charges the work budget for the bytes of an entry.
local function spend (entry)
  work = work - entry.bytes / BYTES_OF_WORK
end

-- Splitting long strings is expensive, so it is done on demand.
local function versionOf (entry)
  return entry.version or string.sub(entry.record, 1, entry.space - 1)
end

local function textOf (entry)
  if entry.text then return entry.text end
  if not entry.isLong then return string.sub(entry.record, entry.last + 1) end
  spend(entry)
  return read('=' .. entry.key) or ''
end

-- Stores an entry, and its text if it is short or new.
local function store (entry)
  local finish = entry.finish == 0 and '0 ' or int(entry.finish) .. ' '
  local isLong = entry.isLong
  if entry.text then
    entry.isLong = #entry.text > LONG_TEXT
    if entry.isLong then write('=' .. entry.key, entry.text) elseif isLong then write('=' .. entry.key, false) end
    if isLong or entry.isLong then spend(entry) end
  end
  if entry.isLong then
    write(':' .. entry.key, versionOf(entry) .. ' =' .. finish .. int(entry.bytes - #entry.key))
  else
    write(':' .. entry.key, versionOf(entry) .. ' ' .. finish .. textOf(entry))
  end
end

-- Keys without a ttl last used before this time (microseconds) have expired.
local function idleLimit ()
  if meta.tracked == 0 then return 0 end
  return meta.idle > 0 and math.max(meta.gone, micros - meta.idle * 1000) or meta.gone
end

-- Times of use are in microseconds and unique, so they define an order.
local function lastUse (entry)
  if not entry.used then
    entry.used = tonumber(redis.call('ZSCORE', entry.finish > 0 and TIMED or IDLE, entry.key) or 0)
  end
  return math.max(entry.used, meta.tracked)
end

-- A locked key never expires, but it may while its queue is being served.
local function isPast (entry, lock)
  if entry.finish > 0 then return now > entry.finish and not (lock and lock.token ~= '') end
  if lock then return false end
  local limit = idleLimit()
  return limit > meta.tracked and lastUse(entry) < limit
end

local function use (entry, lock)
  if lock or meta.tracked == 0 then return end
  entry.used = nextNumber()
  zadd(entry.finish > 0 and TIMED or IDLE, int(entry.used), entry.key)
  if entry.finish == 0 and meta.idle > 0 then ends(now + meta.idle) end
end

local function enlist (entry)
  if meta.tracked > 0 then use(entry) end
  if entry.finish > 0 then
    zadd(ENDS, int(entry.finish), entry.key)
    ends(entry.finish)
  end
end

local function unlist (entry)
  if meta.tracked > 0 then redis.call('ZREM', entry.finish > 0 and TIMED or IDLE, entry.key) end
  if entry.finish > 0 then redis.call('ZREM', ENDS, entry.key) end
end

local function pin (entry, sign)
  meta.lockedKeys = meta.lockedKeys + sign
  meta.lockedBytes = meta.lockedBytes + sign * entry.bytes
end

-- Removes an entry that is in none of ENDS, IDLE and TIMED any more. "kind": as in watches.ts.
local function drop (entry, kind)
  write(':' .. entry.key, false)
  if entry.isLong then
    write('=' .. entry.key, false)
    spend(entry)
  end
  put(NAMES, entry.key, false)
  meta.keys = meta.keys - 1
  meta.bytes = meta.bytes - entry.bytes
  if entry.finish == 0 then meta.endless = meta.endless - 1 end
  work = work - 1
  if meta.watched > 0 then watches.note(kind, entry.key) end
end

-- "lock": the lock of the key, if any. "kind": as in watches.ts, default "d".
local function remove (entry, lock, kind)
  if lock then pin(entry, -1) else unlist(entry) end
  drop(entry, kind or 'd')
end

local function expire (entry, lock)
  remove(entry, lock, 'e')
  change('expired', meta.expired + 1)
end

-- The entry of a key, unless it has expired.
local function find (key, lock, record)
  local entry = load(key, record)
  if not entry or not isPast(entry, lock) then return entry end
  expire(entry, lock)
  return nil
end

-- The milliseconds until an entry expires; '' if it does not.
local function expiresIn (entry, lock)
  if entry.finish > 0 then return int(math.max(0, entry.finish - now)) end
  if meta.idle == 0 then return '' end
  return int(meta.idle - (lock and 0 or math.max(0, micros - lastUse(entry)) / 1000))
end

-- Sets the expiry of an entry. This does not change its value.
local function setEnd (entry, finish, lock)
  if finish == entry.finish then return end
  if not lock and (finish == 0) ~= (entry.finish == 0) then unlist(entry) end
  meta.endless = meta.endless + (finish == 0 and 1 or 0) - (entry.finish == 0 and 1 or 0)
  entry.finish = finish
  if finish > 0 then ends(finish) end
end

local fits -- from bounds.ts

-- Writes, if the bounds allow it. Returns the new entry; nil if it does not fit, or nil and true if it will fit later.
-- "ttl": milliseconds, 0 for none, nil to keep the current expiry.
local function putText (key, entry, text, ttl, lock)
  local bytes = #key + #text
  local hasRoom = fits(entry, bytes, lock)
  if not hasRoom then return nil, hasRoom == nil end
  local finish = entry and entry.finish or 0
  if ttl then finish = ttl > 0 and now + math.ceil(ttl) or 0 end
  if not entry then
    entry = { key = key, finish = 0, bytes = 0 }
    meta.keys = meta.keys + 1
    meta.endless = meta.endless + 1
    put(NAMES, key, true)
    if lock then meta.lockedKeys = meta.lockedKeys + 1 end
  end
  local isMoved = finish ~= entry.finish
  setEnd(entry, finish, lock)
  meta.bytes = meta.bytes + bytes - entry.bytes
  if lock then meta.lockedBytes = meta.lockedBytes + bytes - entry.bytes end
  entry.version, entry.text, entry.bytes = numberText(nextNumber()), text, bytes
  store(entry)
  if not lock then
    if isMoved then enlist(entry) else use(entry) end
  end
  meta.writes = meta.writes + 1
  if meta.watched > 0 then watches.note('s', key, entry.version, text) end
  return entry
end
`
