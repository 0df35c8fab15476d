// The log of changes of a watched collection, and the calls that wait for changes. Other collections have neither.
export default String.raw`
--   BASE:changes  sorted set: the kind of the last change of a key and the key, by the version of the change
--   BASE:armed    sorted set, all of one score: each call that waits for a change, as "=KEY", or as "^PREFIX" and also
--                 as "#" with the length of the prefix; then the byte 255, which UTF-8 never contains, and "who"
--
-- meta.watched is the time until which changes are kept, 0 if the collection is not watched. The log is complete after
-- the version meta.floor. meta.instance is the run id of the server that wrote the log, if known: after a failover, or
-- a restart from a snapshot, the latest changes may be missing. It is "?" while waiting calls have to be notified that
-- the log was reset.
watches.MAX_CHANGES, watches.KEPT = 65536, 60000

watches.kinds = { s = 'set', d = 'del', e = 'expired', v = 'evicted' }
watches.others = { s = { 'd', 'e', 'v' }, d = { 's', 'e', 'v' }, e = { 's', 'd', 'v' }, v = { 's', 'd', 'e' } }

-- "revision": changes are reported up to this one; "rest": further fields, with a leading comma.
function watches.reply (list, revision, rest, texts)
  local head = '{"changes":[' .. table.concat(list, ',') .. '],"cursor":"' .. revision .. '","revision":' .. revision ..
    rest .. '}'
  return watches.withTexts(reply('', '', '', '', head), texts or {})
end

-- A reply followed by texts. If they are long, each is a separate element instead of a part of one string.
function watches.withTexts (answer, texts)
  if #texts == 0 then return answer end
  local bytes = 0
  for _, text in ipairs(texts) do bytes = bytes + #text end
  if type(answer) == 'string' then
    if bytes <= LONG_TEXT then return answer .. '\30' .. table.concat(texts, '\30') end
    answer = { answer }
  end
  for _, text in ipairs(texts) do answer[#answer + 1], answer[#answer + 2] = '\30', text end
  return answer
end

function watches.describe (kind, key, version)
  return '["' .. watches.kinds[kind] .. '",' .. cjson.encode(key) .. ',' .. version .. ']'
end

-- The members of BASE:armed for a call.
function watches.places (call, who)
  local last = '\255' .. who
  if call.isExact then return '=' .. call.key .. last end
  return '^' .. call.key .. last, '#' .. string.format('%04d', #call.key) .. last
end

function watches.disarm (call, who)
  redis.call('ZREM', BASE .. ':armed', watches.places(call, who))
end

-- Answers a waiting call with a change. If that is long, or none is given, the call has to ask for it.
function watches.wake (who, kind, key, version, text)
  local call = withdraw(who)
  if not call then return end
  local answered
  if kind then
    local texts = kind == 's' and call.values and { text }
    answered = watches.reply({ watches.describe(kind, key, version) }, version, '', texts)
  end
  if type(answered) ~= 'string' or #answered > LONG then answered = watches.reply({}, call.after, ',"more":true') end
  answer(who, answered)
end

function watches.wakeAll (target, ...)
  local armed = BASE .. ':armed'
  for _, member in ipairs(redis.call('ZRANGEBYLEX', armed, '[' .. target .. '\255', '(' .. target .. '\255\255')) do
    redis.call('ZREM', armed, member)
    watches.wake(string.sub(member, #target + 2), ...)
  end
end

-- Logs a change of a key, if the collection is watched. "version": of a set; a removal gets a new number.
function watches.note (kind, key, version, text)
  if meta.watched == 0 then return end
  work = work - 3
  version = version or int(nextNumber())
  local log, armed = BASE .. ':changes', BASE .. ':armed'
  if redis.call('ZADD', log, version, kind .. key) > 0 then
    local first, second, third = unpack(watches.others[kind])
    local replaced = redis.call('ZREM', log, first .. key, second .. key, third .. key)
    if meta.expire > 0 then grown[log] = true end
    caches.changes = caches.changes and caches.changes + 1 - replaced or redis.call('ZCARD', log)
    if caches.changes > watches.MAX_CHANGES then
      local oldest = redis.call('ZRANGE', log, 1, 1, 'WITHSCORES')
      redis.call('ZREM', log, oldest[1])
      caches.changes = caches.changes - 1
      change('floor', tonumber(oldest[2]))
    end
  end
  if caches.isUnarmed == nil then caches.isUnarmed = redis.call('ZCARD', armed) == 0 end
  if caches.isUnarmed then return end
  watches.wakeAll('=' .. key, kind, key, version, text)
  local from = '[#'
  while true do
    local first = redis.call('ZRANGEBYLEX', armed, from, '($', 'LIMIT', 0, 1)[1]
    if not first then return end
    local length = tonumber(string.sub(first, 2, 5))
    if length <= #key then watches.wakeAll('^' .. string.sub(key, 1, length), kind, key, version, text) end
    from = '(' .. string.sub(first, 1, 5) .. '\255\255'
  end
end

-- Starts an empty log. Redis would store a small sorted set as a list, which it has to scan for each change; one long
-- member prevents that.
function watches.start ()
  if meta.instance ~= '?' then change('floor', nextNumber()) end
  redis.call('UNLINK', BASE .. ':changes')
  caches.changes = nil
  zadd(BASE .. ':changes', 0, string.rep(' ', 65))
end

-- Resets the log: all watches have to list the keys again.
function watches.forget ()
  watches.start()
  local armed = BASE .. ':armed'
  for _, member in ipairs(redis.call('ZRANGEBYLEX', armed, '[=', '+', 'LIMIT', 0, 50)) do
    redis.call('ZREM', armed, member)
    watches.wake(string.match(member, '\255(.*)$'))
    if isSpent() then break end
  end
  if redis.call('ZCARD', armed) == 0 then return change('instance', watches.server()) end
  change('instance', '?')
  isUnfinished = true
  lookAgain()
end

-- The run id of the server; '' without permission for INFO, or in plain scripts, which would have to query it each
-- time.
function watches.server ()
  if not watches.runId then
    local found = isLibrary and redis.pcall('INFO', 'server')
    watches.runId = type(found) == 'string' and string.match(found, 'run_id:(%x+)') or ''
  end
  return watches.runId
end

-- Resets the log if another server wrote it, or this one before a restart.
function watches.renew ()
  local server = watches.server()
  if meta.instance == '?' or (server ~= '' and meta.instance ~= server) then watches.forget() end
end

-- Starts or extends the log.
function watches.keep ()
  if meta.watched == 0 then
    watches.start()
    change('instance', watches.server())
  else
    watches.renew()
  end
  if meta.watched < now + watches.KEPT / 2 then change('watched', now + watches.KEPT) end
  ends(meta.watched)
end

-- Drops the log if there was no watch for a while.
function watches.visit ()
  if meta.watched == 0 then return end
  if meta.waits > 0 and redis.call('ZCARD', BASE .. ':armed') > 0 then
    watches.keep()
  elseif now > meta.watched then
    redis.call('UNLINK', BASE .. ':changes', BASE .. ':armed')
    caches.changes = nil
    change('watched', 0)
    change('floor', 0)
    change('instance', '')
  end
end

-- Milliseconds until the next key expires.
function watches.nextEnd ()
  local first = redis.call('ZRANGE', ENDS, 0, 0, 'WITHSCORES')[2]
  local at = first and tonumber(first) or math.huge
  local used = meta.idle > 0 and redis.call('ZRANGE', IDLE, 0, 0, 'WITHSCORES')[2]
  if used then at = math.min(at, math.max(tonumber(used), meta.tracked) / 1000 + meta.idle) end
  return math.max(0, math.min(at - now + 1, 86400000))
end
`
