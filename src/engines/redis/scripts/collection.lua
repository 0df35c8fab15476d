-- The keys of one collection, its counters and bounds, and the clock. Only KEYS[1] is named by the caller; the names of the
-- others begin with it, tag included, so that all are in its slot.
local BASE = KEYS[1]              -- hash: counters and bounds
-- Hash: ":" and a key -> "version end text", end 0 where there is none; "!" and a locked key -> its lock; "tracked" -> since when
-- uses are kept. What most reads have to know is in one place, so that they need no script: see reads.ts.
local RECORDS = BASE .. ':records'
local NAMES = BASE .. ':names'    -- sorted set: key by the number of its creation, for scans
local ENDS = BASE .. ':ends'      -- sorted set: key with a ttl by its end
local IDLE = BASE .. ':idle'      -- sorted sets: key by its last use, those without a ttl
local TIMED = BASE .. ':timed'    --   and those with one; kept only where idle time or a bound is configured
local UNTIL = BASE .. ':until'    -- sorted set: locked key by the time at which its lock runs out
local QUEUE = BASE .. ':queue'    -- sorted set, all of one score: "lock:number:who" in the order in which they came
local WAITING = BASE .. ':waiting' -- hash: who -> the call that waits
local KEPT = BASE .. ':kept'      -- hash: who -> a long answer, until it is fetched
-- A locked key is in none of ENDS, IDLE and TIMED: it neither expires nor is it evicted.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local micros = time[1] * 1000000 + time[2]

local FIELDS = { 'seq', 'bytes', 'reads', 'writes', 'expired', 'evicted', 'idle', 'maxKeys', 'maxBytes', 'refuse' }
-- Milliseconds for which the counters of a collection that has nothing else outlive it.
local REMEMBERED = 3600000

-- An integer as text: tostring() would round it.
local function int (number)
  return string.format('%.0f', number)
end

local stored = redis.call('HMGET', BASE, unpack(FIELDS))
local meta, before = {}, {}
for i, field in ipairs(FIELDS) do
  before[i] = tonumber(stored[i] or 0)
  meta[field] = before[i]
end
meta.tracked = tonumber(redis.call('HGET', RECORDS, 'tracked') or 0)

-- Keeps what was counted. Every script that changes something ends with it.
local function save ()
  local changed = {}
  for i, field in ipairs(FIELDS) do
    if meta[field] ~= before[i] then
      changed[#changed + 1] = field
      changed[#changed + 1] = int(meta[field])
    end
  end
  if #changed > 0 then redis.call('HSET', BASE, unpack(changed)) end
  if meta.idle + meta.maxKeys + meta.maxBytes > 0 or redis.call('EXISTS', RECORDS) > 0 then
    redis.call('PERSIST', BASE)
  else
    redis.call('PEXPIRE', BASE, REMEMBERED)
  end
end

-- Versions and fences: they grow, and by more than the clock does only where more than one comes in a microsecond, so that
-- they go on growing when all else has been forgotten.
local function nextNumber ()
  meta.seq = math.max(meta.seq + 1, micros)
  return meta.seq
end

-- Full memory must keep nobody from giving some back, or from keeping a lock: a script that has written before is let go on.
local function evenIfFull ()
  redis.call('DEL', BASE .. ':nothing')
end
