// The state of one collection on the server, and its clock.
export default String.raw`
-- The caller passes only the base of a collection. In a Redis Cluster, all keys share the slot of the base:
--
--   BASE      string: the configured options; outlives everything else
--   RECORDS   hash: "#" -> the counters below; ":" and a key -> "version end text", with end 0 for none, or for a long
--             text "version =end bytes", and "=" and the key -> the text; "!" and a locked key -> its lock;
--             "tracked" if a plain command is not sufficient to read a key: see fast-get.ts
--   NAMES     sorted set, all of one score: the keys that have a value, by name
--   ENDS      sorted set: key with a ttl by its end
--   IDLE      sorted sets: key by its last use, those without a ttl
--   TIMED       and those with one; kept only where idle time or a bound is configured
--   HELD      sorted set, all of one score: "channel key" of each lock that ends with its process, and each locked key
--             behind the byte 255, which neither a channel nor UTF-8 has
--   UNTIL     sorted set: locked key by the end of its lease, where it has one; by 0 if its queue is being served
--   OWNED     sorted set, all of one score: "channel number" of each call that waits
--   ALIVE     sorted set: channel of a process by the time at which it counts as dead without another heartbeat
--   QUEUE     sorted set, all of one score: "lock:number:who" in the order in which they came
--   WAITING   hash: who -> the waiting call; "token TOKEN" -> who, of an acquire
--   CLEARS    sorted set: "who" of each clear that waits for locked keys, by the number of the clear
--   JOBS      string: walks over the names, done in steps: see jobs.ts
--
-- A locked key is in none of ENDS, IDLE and TIMED: it neither expires nor is it evicted.
local BASE, RECORDS, NAMES, ENDS, IDLE, TIMED, HELD, UNTIL, OWNED, ALIVE, QUEUE, WAITING, CLEARS, JOBS
local CHANNEL -- length of the name of a channel: prefix, colon, UUID and a digit

-- Three sorted sets for all collections of a server, or of a slot of a Redis Cluster: base by the time at which the
-- collection is due for a visit, base by the time until which it may exist, and all bases in order. They make it
-- unnecessary to scan the database.
local DUE, KNOWN, BASES

local watches, channels = {}, {} -- from watches.ts and channels.ts

local now, micros            -- the server's clock, in milliseconds and microseconds
local meta = {}              -- the counters of the open collection
local packed                 -- the counters as stored, nil if the collection does not exist
-- the packed counters that "meta" still has from the previous script; nil if that did not save
local current
local before, seqBefore, dueBefore, knownBefore -- their values when it was opened

local work = 0               -- units of about 10 microseconds that this script may still spend
local isUnfinished = false   -- work is left

local WORK = 60
local SLACK = 5000           -- ms that expired keys may stay, so that they are removed in bulk
local GRACE = 60000          -- ms that the server keeps expired collections that no process visits
local REMEMBERED = 25000     -- ms until an empty collection is noticed, and again until its counters are forgotten
local DAY = 86400000
local KEPT_DAYS = 30         -- that options outlive the last use of their collection

-- An integer of up to 53 bits as text: tostring() would round it, and so would the faster of these on a machine with
-- short integers. Chosen by the first script, as a library cannot use "string" while it is loaded.
local PLAIN, PADDED

local function chooseFormats ()
  local integer = string.format('%d', 2 ^ 40) == '1099511627776' and 'd' or '.0f'
  PLAIN, PADDED = '%' .. integer, '%016' .. integer -- padded where numbers are sorted by their text
end

local function int (number)
  return string.format(PLAIN, number)
end

local seconds, fraction      -- the server's clock as returned by TIME
local caller                 -- the calling process, which is alive

-- Starts a script.
local function begin ()
  if not PLAIN then chooseFormats() end
  local time = redis.call('TIME')
  seconds, fraction = time[1], time[2]
  micros = seconds * 1000000 + fraction
  now = (micros - micros % 1000) / 1000
  work = WORK
  isUnfinished, caller = false, nil
end

local function isSpent ()
  if work > 0 then return false end
  isUnfinished = true
  return true
end

local function structures ()
  local names = { NAMES, ENDS, IDLE, TIMED, HELD, UNTIL, OWNED, ALIVE, QUEUE, WAITING, CLEARS, JOBS }
  if meta.watched > 0 then names[13], names[14] = BASE .. ':changes', BASE .. ':armed' end
  if meta.subscriptions > 0 then names[13] = BASE .. ':messages' end
  return names
end

local function setBase (base)
  BASE, current = base, nil
  RECORDS, NAMES, ENDS, IDLE = base .. ':records', base .. ':names', base .. ':ends', base .. ':idle'
  TIMED, UNTIL, OWNED, ALIVE = base .. ':timed', base .. ':until', base .. ':owned', base .. ':alive'
  QUEUE, WAITING, CLEARS, JOBS = base .. ':queue', base .. ':waiting', base .. ':clears', base .. ':jobs'
  HELD = base .. ':held'
  local prefix, tag = string.match(base, '^([^{]*):{([^:}]*)')
  local isAlone = tag == 'c' or tag == 'm'
  channels.isOpen = tag == 'm' or (not isAlone and string.sub(base, #prefix + #tag + 4, #prefix + #tag + 4) == 'm')
  local index = prefix .. ':' .. (isAlone and 'index' or '{' .. tag .. '}')
  CHANNEL = #prefix + 38
  DUE, KNOWN, BASES = index .. ':due', index .. ':known', index .. ':bases'
end

-- Most calls only change ten doubles; the rest is packed and unpacked only if it has changed.
local OFTEN, OFTEN_BYTES = '<dddddddddd', 80
local restPacked, isRestChanged = '', true
local isRestZero = false     -- no options, no expiry, no work to do

local function change (field, value)
  if meta[field] == value then return end
  meta[field] = value
  isRestChanged = true
end

local function isZero (m)
  return m.clears + m.jobs + m.expire + m.known + m.empty + m.gone + m.tracked + m.marked + m.renewed + m.idle +
    m.maxKeys + m.maxBytes +
    m.refuse == 0
end

local function pack ()
  local m = meta
  if isRestChanged then
    restPacked = cmsgpack.pack(m.due, m.reads, m.expired, m.evicted, m.clears, m.jobs, m.expire, m.known, m.empty,
      m.gone, m.tracked, m.marked, m.renewed, m.idle, m.maxKeys, m.maxBytes, m.refuse, m.watched, m.floor, m.instance,
      m.subscriptions, m.near)
    isRestChanged, isRestZero = false, isZero(m)
  end
  return struct.pack(OFTEN, m.seq, m.keys, m.bytes, m.writes, m.endless, m.last, m.locks, m.lockedKeys, m.lockedBytes,
    m.waits) .. restPacked
end

local function unpackAll (stored)
  local m = meta
  m.seq, m.keys, m.bytes, m.writes, m.endless, m.last, m.locks, m.lockedKeys, m.lockedBytes, m.waits =
    struct.unpack(OFTEN, stored)
  local rest = string.sub(stored, OFTEN_BYTES + 1)
  if rest == restPacked and not isRestChanged then return end
  m.due, m.reads, m.expired, m.evicted, m.clears, m.jobs, m.expire, m.known, m.empty, m.gone, m.tracked, m.marked,
    m.renewed, m.idle, m.maxKeys, m.maxBytes, m.refuse, m.watched, m.floor, m.instance, m.subscriptions,
    m.near = cmsgpack.unpack(rest)
  m.near = m.near or 0 -- of an earlier version
  restPacked, isRestChanged, isRestZero = rest, false, isZero(m)
end
`
