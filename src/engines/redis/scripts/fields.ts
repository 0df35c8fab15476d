// Caches and batches the reads and writes of one script.
export default String.raw`
-- Reset when another collection is opened. "heard": a process whose heartbeat has been recorded.
local caches, heard = {}, nil

local grown = {}              -- structures that may be new ones

-- A structure that may be new gets the same expiry as the others, after all changes.
local function zadd (set, ...)
  if redis.call('ZADD', set, ...) > 0 and meta.expire > 0 then grown[set] = true end
end

local function hset (hash, ...)
  if redis.call('HSET', hash, ...) > 0 and meta.expire > 0 then grown[hash] = true end
end

local ask, forgetFields, write, read, stored, fetch, fetchLocks, put, putAll, flush

do
  local MOST = 500            -- arguments per command; even, because some come in pairs
  local more, less = {}, {}   -- arguments
  local AHEAD = 25            -- keys read ahead; few, because each record may have 8 KB

  -- Cache of RECORDS: the value by field, false if there is none. The tables are reused by all scripts, because new
  -- ones would have to grow.
  local fields = {}
  local names, asked = {}, 0                  -- fields read when the collection was opened
  local changes, changed, written = {}, 0, 0  -- fields changed since then, and how many of them were written
  local members = {}                          -- by sorted set: members to add (true) or remove (false)

  function forgetFields ()
    for i = 1, asked do fields[names[i]] = nil end
    for i = 1, changed do fields[changes[i]] = nil end
    asked, changed, written = 0, 0, 0
    if next(members) then members = {} end
    if next(grown) then grown = {} end
  end

  -- Resets the cache and reads the counters. With "calls", the arguments of scripts.call, it also reads the records and
  -- locks of their keys.
  function ask (calls)
    forgetFields()
    names[1], asked = '#', 1
    for i = 4, calls and #calls or 0, 5 do
      names[asked + 1], names[asked + 2] = ':' .. calls[i], '!' .. calls[i]
      asked = asked + 2
    end
    local values = redis.call('HMGET', RECORDS, unpack(names, 1, asked))
    for i = 2, asked do fields[names[i]] = values[i] end
    return values[1]
  end

  function write (field, value)
    fields[field] = value
    changed = changed + 1
    changes[changed] = field
  end

  function read (field)
    local value = fields[field]
    if value == nil then value = redis.call('HGET', RECORDS, field) end
    return value
  end

  -- The stored record and lock of a key.
  function stored (key)
    local record, lock = fields[':' .. key], fields['!' .. key]
    if record ~= nil and lock ~= nil then return record, lock end
    local found = redis.call('HMGET', RECORDS, ':' .. key, '!' .. key)
    if record == nil then record = found[1] end
    if lock == nil then lock = found[2] end
    return record, lock
  end

  -- Reads the fields that were added to "names" after that many.
  local function readAfter (first)
    if asked == first then return end
    local values = redis.call('HMGET', RECORDS, unpack(names, first + 1, asked))
    for i = first + 1, asked do
      if fields[names[i]] == nil then fields[names[i]] = values[i - first] end
    end
  end

  -- Read-ahead for a loop over keys: reads the records and locks of several keys with one command.
  function fetch (keys, i)
    if i % AHEAD ~= 1 then return end
    local first = asked
    for j = i, math.min(#keys, i + AHEAD - 1) do
      local key = keys[j]
      if fields[':' .. key] == nil then
        names[asked + 1], names[asked + 2] = ':' .. key, '!' .. key
        asked = asked + 2
      end
    end
    readAfter(first)
  end

  -- Reads the locks of keys with one command.
  function fetchLocks (keys)
    local first = asked
    for _, key in ipairs(keys) do
      if fields['!' .. key] == nil then
        asked = asked + 1
        names[asked] = '!' .. key
      end
    end
    readAfter(first)
  end

  -- Adds a member to a sorted set of one score, or removes it. Applied before the set is read.
  function put (set, member, isMember)
    local list = members[set]
    if not list then
      list = {}
      members[set] = list
    end
    list[member] = isMember
  end

  local function callWith (command, set, list, count)
    if count > 0 then redis.call(command, set, unpack(list, 1, count)) end
    return 0
  end

  -- Applies changes of sorted sets. To be called before reading NAMES, HELD, OWNED or QUEUE.
  function putAll ()
    for set, list in pairs(members) do
      local added, removed = 0, 0
      for member, isMember in pairs(list) do
        if isMember then
          if added == MOST then
            zadd(set, unpack(more, 1, added))
            added = 0
          end
          more[added + 1], more[added + 2] = 0, member
          added = added + 2
        else
          if removed == MOST then removed = callWith('ZREM', set, less, removed) end
          removed = removed + 1
          less[removed] = member
        end
      end
      if added > 0 then zadd(set, unpack(more, 1, added)) end
      callWith('ZREM', set, less, removed)
      members[set] = nil
    end
  end

  -- Applies all changes.
  function flush ()
    if next(members) then putAll() end
    local set, deleted = 0, 0
    for i = written + 1, changed do
      local field = changes[i]
      local value = fields[field]
      if value then
        if set == MOST then set = callWith('HSET', RECORDS, more, set) end
        more[set + 1], more[set + 2] = field, value
        set = set + 2
      else
        if deleted == MOST then deleted = callWith('HDEL', RECORDS, less, deleted) end
        deleted = deleted + 1
        less[deleted] = field
      end
    end
    written = changed
    callWith('HSET', RECORDS, more, set)
    callWith('HDEL', RECORDS, less, deleted)
    if next(grown) then
      for set in pairs(grown) do
        if meta.expire > 0 then redis.call('PEXPIREAT', set, int(meta.expire)) end
      end
      grown = {}
    end
  end
end
`
