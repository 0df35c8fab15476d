// Opens a collection: its counters, its version numbers and its lifetime.
export default String.raw`
-- Opens a collection. "calls": the arguments of scripts.call, to read the records and locks of their keys as well.
local function open (base, calls)
  if base ~= BASE then setBase(base) end
  if next(caches) then caches = {} end
  heard = nil
  packed = ask(calls)
  local m = meta
  if packed then
    if packed ~= current then unpackAll(packed) end
  else
    m.seq, m.keys, m.bytes, m.reads, m.writes, m.expired, m.evicted, m.waits, m.clears, m.jobs = 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0
    m.locks, m.lockedKeys, m.lockedBytes = 0, 0, 0 -- locked keys, those with a value, and their bytes
    m.endless = 0 -- keys without a ttl
    m.last = 0    -- the latest expiry of all keys that have one
    m.expire = 0  -- when the server removes the collection, 0 for never
    m.due, m.known = 0, 0 -- as in DUE and KNOWN, 0 for never
    m.empty = 0   -- when it was first seen without keys and locks
    -- keys without a ttl last used before this time have expired, whatever is configured now; microseconds
    m.gone = 0
    m.tracked = 0 -- since when uses are tracked, microseconds
    m.marked = 0  -- whether RECORDS has "tracked"
    m.renewed, m.idle, m.maxKeys, m.maxBytes, m.refuse, m.near = 0, 0, 0, 0, 0, 0
    m.watched, m.floor, m.instance = 0, 0, '' -- see watches.ts
    m.subscriptions = 0                       -- of a channel
    isRestChanged = true
    local configured = redis.call('GET', BASE)
    if configured then
      m.idle, m.maxKeys, m.maxBytes, m.refuse, m.near = cmsgpack.unpack(configured)
      m.near = m.near or 0 -- of an earlier version
      if m.idle + m.maxKeys + m.maxBytes > 0 then m.tracked = micros end
    end
  end
  current = nil -- until it is saved
  before = packed or pack()
  seqBefore, dueBefore, knownBefore = m.seq, m.due, m.known
end

-- Versions, fences and places in queues. They follow the clock, and only exceed it if there is more than one per
-- microsecond, so they keep growing even after all other state is lost.
local function nextNumber ()
  local seq = meta.seq + 1
  if seq < micros then seq = micros end
  meta.seq = seq
  return seq
end

-- Like int, for a result of nextNumber: usually that is the clock, which was text.
local function numberText (number)
  return number == micros and #fraction == 6 and seconds .. fraction or int(number)
end

-- Something in the collection expires at that time: it is visited soon after, and the server keeps it until then.
local function ends (at)
  if at > meta.last then meta.last = at end
  if meta.due == 0 or at + SLACK < meta.due then change('due', at + SLACK) end
end

local function lookAgain ()
  change('due', now)
end

local function isConfigured ()
  return meta.idle + meta.maxKeys + meta.maxBytes + meta.refuse + meta.near > 0
end
`
