// Saves a collection: its counters, its place in the index and its expiry on the server. Or removes it.
export default String.raw`
-- Expiry by the server, the last resort: if everything in a collection expires, so do its structures.
local function setExpire ()
  local before = meta.expire
  if meta.endless > 0 and meta.idle == 0 then
    change('expire', 0)
  else
    local needed = math.max(meta.last, now + meta.idle)
    if before >= needed and before <= needed + 2 * GRACE then return end
    change('expire', needed + GRACE)
  end
  if meta.expire == before then return end
  local sets = structures()
  sets[#sets + 1] = RECORDS
  for _, set in ipairs(sets) do
    if meta.expire > 0 then redis.call('PEXPIREAT', set, int(meta.expire)) else redis.call('PERSIST', set) end
  end
end

-- The sets of an index expire with the last collection in it.
local function setIndexEnd ()
  local last = redis.call('ZRANGE', KNOWN, -1, -1, 'WITHSCORES')[2]
  for _, set in ipairs({ DUE, KNOWN, BASES }) do
    if last == 'inf' then redis.call('PERSIST', set) elseif last then
      redis.call('PEXPIREAT', set, int(tonumber(last) + GRACE)) end
  end
end

local function index ()
  if isConfigured() and meta.renewed < now - DAY then
    change('renewed', now)
    redis.call('PEXPIRE', BASE, KEPT_DAYS * DAY)
  end
  local known = meta.expire
  if known > 0 and isConfigured() then known = math.max(known, meta.renewed + KEPT_DAYS * DAY) end
  change('known', known)
  if not packed and not channels.isOpen then redis.call('ZADD', BASES, 0, BASE) end
  if meta.due ~= dueBefore or not packed then redis.call('ZADD', DUE, meta.due > 0 and int(meta.due) or 'inf', BASE) end
  if meta.known ~= knownBefore or not packed then
    redis.call('ZADD', KNOWN, meta.known > 0 and int(meta.known) or 'inf', BASE)
    setIndexEnd()
  end
end

-- Updates everything that depends on expiry, options and pending work. Returns the packed counters.
local function saveEnds (after)
  local last = meta.last
  if meta.keys + meta.locks + meta.watched + meta.subscriptions > 0 then
    change('empty', 0)
  elseif meta.empty == 0 then
    ends(now + REMEMBERED - SLACK)
  end
  local mark = (meta.tracked > 0 or meta.jobs > 0) and 1 or 0
  if mark > meta.marked then write('tracked', '1') end
  if mark < meta.marked then write('tracked', false) end
  change('marked', mark)
  -- Before the expiry, which cannot be set on a hash that does not exist.
  if not packed then
    write('#', '')
    flush()
  end
  setExpire()
  index()
  return (isRestChanged or meta.last ~= last) and pack() or after
end

-- Saves the counters. Every script that changes something ends with this call.
local function save ()
  local hasNoEnd = packed and isRestZero and not isRestChanged and meta.endless > 0
  local after = pack()
  if meta.seq == seqBefore and after == before then
    current = packed or nil
    return flush()
  end
  if not hasNoEnd then after = saveEnds(after) end
  write('#', after)
  flush()
  current = after
end

-- Removes an empty collection.
local function forget ()
  redis.call('UNLINK', RECORDS, unpack(structures()))
  if isConfigured() then
    redis.call('PEXPIRE', BASE, KEPT_DAYS * DAY)
    redis.call('ZADD', DUE, 'inf', BASE)
    redis.call('ZADD', KNOWN, int(now + KEPT_DAYS * DAY), BASE)
  else
    redis.call('ZREM', DUE, BASE)
    redis.call('ZREM', KNOWN, BASE)
    redis.call('ZREM', BASES, BASE)
  end
  setIndexEnd()
end
`
