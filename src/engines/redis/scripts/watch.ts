// Watches: lists existing keys, and returns changes.
export default String.raw`
watches.PAGE, watches.PAGE_BYTES = 100, 262144 -- keys and bytes in one reply

-- The changes after a revision: descriptions, texts, and the version of the last one if there are more.
function watches.changes (after, asked)
  local log, found = BASE .. ':changes', {}
  if asked.exact then
    for kind in pairs(watches.kinds) do
      local version = redis.call('ZSCORE', log, kind .. asked.key)
      if version and tonumber(version) > after then found = { kind .. asked.key, version } end
    end
  else
    found = redis.call('ZRANGEBYSCORE', log, '(' .. int(after), 'inf', 'WITHSCORES', 'LIMIT', 0, watches.PAGE)
  end
  local list, texts, bytes = {}, {}, 0
  local keys = {}
  for i = 1, #found, 2 do keys[(i + 1) / 2] = string.sub(found[i], 2) end
  for i = 1, #found, 2 do
    local kind, key, version = string.sub(found[i], 1, 1), keys[(i + 1) / 2], int(tonumber(found[i + 1]))
    fetch(keys, (i + 1) / 2)
    if asked.exact or startsWith(key, asked.key) then
      local entry
      if kind == 's' then
        local record, lock = stored(key)
        entry = find(key, lockFrom(key, lock), record)
      end
      -- If there is no entry, the key has just expired, which is recorded as a later change.
      if kind ~= 's' or entry then
        list[#list + 1] = watches.describe(kind, key, version)
        bytes = bytes + 40 + #key + (asked.values and entry and entry.bytes - #key or 0)
        if asked.values and entry then texts[#texts + 1] = textOf(entry) end
      end
    end
    if bytes > watches.PAGE_BYTES and i + 2 <= #found then return list, texts, version end
  end
  local isMore = #found == 2 * watches.PAGE
  return list, texts, isMore and int(tonumber(found[#found])) or nil
end

-- A page of existing keys, after a name. The listing began at a revision.
function watches.list (since, asked, last)
  local names = { asked.key }
  if not asked.exact then
    local from, to = rangeOf(asked.key, last)
    names = redis.call('ZRANGEBYLEX', NAMES, from, to, 'LIMIT', 0, watches.PAGE)
  end
  local list, texts, bytes, isMore = {}, {}, 0, #names == watches.PAGE
  for i, key in ipairs(names) do
    fetch(names, i)
    if i > 1 and (bytes > watches.PAGE_BYTES or isSpent()) then -- cleared keys may have been removed
      isMore = true
      break
    end
    last = key
    local record, lock = stored(key)
    local entry = load(key, record)
    if entry and not isPast(entry, lockFrom(key, lock)) then
      list[#list + 1] = watches.describe('s', key, versionOf(entry))
      bytes = bytes + 40 + #key + (asked.values and entry.bytes - #key or 0)
      if asked.values then texts[#texts + 1] = textOf(entry) end
    end
  end
  local start = ',"start":' .. int(since)
  if not isMore then return watches.reply(list, int(since), start, texts) end
  local head = '{"changes":[' .. table.concat(list, ',') .. ']' .. start .. '}'
  return watches.withTexts(reply(int(since), '', '1', '', cjson.encode(last) .. '\30' .. head), texts)
end

-- who, JSON of { key, exact, values }, how, revision, name, life. "how": "here" for the current revision; "list" for a
-- page of existing keys, after the name, or from the start without a revision; "now" for the changes after the
-- revision; "wait" to wait until there are some. Replies like call. If a listing continues, the reply is the revision
-- at its start, 1, and the JSON of its last name before a head without a cursor.
function scripts.watch (keys, args)
  local who, asked, how, revision, name, life = unpack(args)
  begin()
  open(keys[1])
  watches.keep()
  asked = cjson.decode(asked)
  local after = tonumber(revision)
  if how == 'here' then return answered(watches.reply({}, int(meta.seq), '')) end
  if how == 'list' then return answered(watches.list(after or meta.seq, asked, name)) end
  if after < meta.floor or after > meta.seq then
    return answered(watches.reply({}, int(meta.seq), ',"reset":true'))
  end
  while true do
    local revision = meta.seq
    local list, texts, last = watches.changes(after, asked)
    if last then return answered(watches.reply(list, last, ',"more":true', texts)) end
    if #list > 0 or how == 'now' then return answered(watches.reply(list, int(revision), '', texts)) end
    after = revision
    if meta.seq == revision then break end
  end
  local armed = BASE .. ':armed'
  if redis.call('ZCARD', armed) >= 2 * MAX_WAITERS then return answered('ESTORE_QUEUE_FULL') end
  local call = { op = 'watch', key = asked.key, isExact = asked.exact, values = asked.values, after = int(after),
    life = life }
  local place, length = watches.places(call, who)
  zadd(armed, 0, place)
  if length then zadd(armed, 0, length) end
  caches.isUnarmed = false
  wait(who, call)
  return answered('Q' .. int(watches.nextEnd()))
end
`
