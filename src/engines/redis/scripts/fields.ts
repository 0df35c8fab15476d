// What a script reads and changes of a collection: for all calls of a script at once.
export default String.raw`
-- Forgotten when another collection is opened; "heard" is a process whose sign of life has been noted.
local caches, heard = {}, nil

local grown = {}              -- structures that may be new ones

-- A structure that may be a new one gets the end that the others have, when all changes are made.
local function zadd (set, ...)
  if redis.call('ZADD', set, ...) > 0 and meta.expire > 0 then grown[set] = true end
end

local function hset (hash, ...)
  if redis.call('HSET', hash, ...) > 0 and meta.expire > 0 then grown[hash] = true end
end

local ask, forgetFields, write, read, stored, fetch, put, putAll, flush

do
  local MOST = 500            -- arguments of one command; even, as some come in pairs
  local more, less = {}, {}   -- arguments
  local AHEAD = 25            -- keys; few, as their records may have 8 KB each

  -- What is known of RECORDS: by field its value, false where it has none. These tables are used again by each script,
  -- as new ones would have to grow.
  local fields = {}
  local names, asked = {}, 0                  -- fields that were read when the collection was opened
  local changes, changed, written = {}, 0, 0  -- fields that were changed since then, and how many of them are written
  local members = {}                          -- by sorted set what is to be added, true, or removed, false

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

  -- What is stored of a key: its record and its lock.
  function stored (key)
    local record, lock = fields[':' .. key], fields['!' .. key]
    if record ~= nil and lock ~= nil then return record, lock end
    local found = redis.call('HMGET', RECORDS, ':' .. key, '!' .. key)
    if record == nil then record = found[1] end
    if lock == nil then lock = found[2] end
    return record, lock
  end

  -- For a loop over keys that reads what is stored of each: reads it for some of them with one command.
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
    if asked == first then return end
    local values = redis.call('HMGET', RECORDS, unpack(names, first + 1, asked))
    for i = first + 1, asked do
      if fields[names[i]] == nil then fields[names[i]] = values[i - first] end
    end
  end

  -- Adds a member to a sorted set of one score, or removes it, before the set is read.
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

  -- Makes the changes of sorted sets. All that reads NAMES, HELD, OWNED or QUEUE begins with it.
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

  -- Makes all changes.
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
