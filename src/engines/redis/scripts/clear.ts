// Clearing a collection, and its options.
export default String.raw`
local MAX_CLEARS = 64 -- at a time, both of those done in steps and of those waiting

-- All keys are gone at once, where none is locked.
local function clearAll ()
  redis.call('UNLINK', NAMES, ENDS, IDLE, TIMED, RECORDS, JOBS)
  meta.keys, meta.bytes, meta.endless = 0, 0, 0
  change('marked', 0)
  for _, job in ipairs(jobs()) do endJob(job) end
  caches.jobs = {}
  change('jobs', 0)
  change('expire', 0)
  forgetFields()
  packed = nil -- as the hash is a new one
end

-- Deletes the keys with a prefix: unlocked keys now, each locked key when its turn comes. who, prefix, '1' to skip
-- locked keys, life. Replies like call.
function scripts.clear (keys, args)
  local who, prefix, nowait, life = unpack(args)
  begin()
  open(keys[1])
  if meta.jobs >= MAX_CLEARS or meta.clears >= MAX_CLEARS then return 'ESTORE_QUEUE_FULL' end
  buryDead()
  local locked = 0
  if meta.locks > 0 then
    putAll()
    locked = redis.call('ZLEXCOUNT', HELD, rangeOf('\255' .. prefix, ''))
  end
  local number = nextNumber()
  if prefix == '' and meta.locks == 0 and (meta.watched == 0 or meta.keys > watches.MAX_CHANGES) then
    clearAll()
    if meta.watched > 0 then watches.forget() end
  elseif meta.keys > meta.lockedKeys then
    addJob('wipe', number, prefix)
    stepJobs()
  end
  if meta.jobs > 0 then lookAgain() end
  if locked == 0 then return answered('R    ') end
  if nowait == '1' then return answered('ESTORE_LOCKED') end
  change('clears', meta.clears + 1)
  zadd(CLEARS, int(number), who)
  wait(who, { op = 'clear', prefix = prefix, left = locked, life = life })
  return answered('Q0')
end

-- Changes the given options: JSON of { idle, maxKeys, maxBytes, evict, near }. "near" has no effect here, but excludes
-- "idle" as in every other store.
function scripts.configure (keys, args)
  local changed = unpack(args)
  begin()
  open(keys[1])
  changed = cjson.decode(changed)
  if (changed.near or meta.near) > 0 and (changed.idle or meta.idle) > 0 then
    return answered('ESTORE_OPTION_INVALID')
  end
  -- Keys past their idle time must stay expired.
  change('gone', idleLimit())
  if changed.idle then change('idle', math.ceil(changed.idle)) end
  if changed.maxKeys then change('maxKeys', changed.maxKeys) end
  if changed.maxBytes then change('maxBytes', changed.maxBytes) end
  if changed.evict ~= nil then change('refuse', changed.evict and 0 or 1) end
  if changed.near then change('near', math.ceil(changed.near)) end
  if isConfigured() then
    change('renewed', 0)
    redis.call('SET', BASE, cmsgpack.pack(meta.idle, meta.maxKeys, meta.maxBytes, meta.refuse, meta.near))
  else
    redis.call('DEL', BASE)
  end
  if meta.idle + meta.maxKeys + meta.maxBytes > 0 and meta.tracked == 0 then
    -- Earlier uses are unknown: every key counts as used now.
    change('tracked', micros)
    if meta.keys > 0 then addJob('track', micros, '') end
  end
  visit()
  return answered('R    ')
end
`
