// Channels: messages for current subscribers. A channel has a base like a collection, but no keys. It exists while it
// has subscriptions, one for each process with subscribers.
export default String.raw`
-- The field "@" of RECORDS has { id, first, next, bytes, subs }: an id that distinguishes the channel from earlier ones
-- with its name, the numbers of the first buffered message and of the next one, the bytes buffered, and the
-- subscriptions by token, each { count, channel, next, last, who }: the number of subscribers, the channel of its
-- process, the first message not acknowledged, its last use, and its waiting call. BASE:messages: hash, by number.
-- OWNED also has "channel @token" of each subscription.
channels.MAX_MESSAGES, channels.MAX_BYTES, channels.REPLY_BYTES = 8192, 1048576, 262144
channels.MAX_SUBSCRIPTIONS, channels.UNUSED = 4096, 30000

function channels.open ()
  if not caches.channel then
    local stored = read('@')
    caches.channel = stored and cmsgpack.unpack(stored) or { id = nextNumber(), first = 0, next = 0, bytes = 0, subs = {} }
  end
  return caches.channel
end

function channels.dropFirst (channel)
  local set, number = BASE .. ':messages', int(channel.first)
  local text = redis.call('HGET', set, number)
  if text then
    channel.bytes = channel.bytes - #text
    redis.call('HDEL', set, number)
  end
  channel.first = channel.first + 1
end

-- Drops messages that all subscriptions have received, and those above the bounds.
function channels.trim (channel)
  local least, isEmpty = channel.next, true
  for _, sub in pairs(channel.subs) do
    least, isEmpty = math.min(least, sub.next), false
  end
  if isEmpty or least == channel.next then
    if channel.bytes > 0 then redis.call('UNLINK', BASE .. ':messages') end
    channel.first, channel.bytes = channel.next, 0
    return
  end
  while channel.first < least or channel.next - channel.first > channels.MAX_MESSAGES or
    (channel.bytes > channels.MAX_BYTES and channel.next - channel.first > 1) do
    channels.dropFirst(channel)
  end
end

-- "why": the reply to its waiting call. Default: disconnected, so that the process subscribes again.
function channels.drop (channel, token, why)
  local sub = channel.subs[token]
  if not sub then return end
  redis.call('ZREM', OWNED, sub.channel .. ' @' .. token)
  channel.subs[token] = nil
  if sub.who and withdraw(sub.who) then answer(sub.who, why or 'ESTORE_DISCONNECTED') end
end

-- Saves a channel, or removes it if it has no subscriptions.
function channels.save (channel)
  channels.trim(channel)
  local count = 0
  for _ in pairs(channel.subs) do count = count + 1 end
  change('subscriptions', count)
  if count > 0 then write('@', cmsgpack.pack(channel)) else write('@', false) end
end

-- Returns the reply of a script that a process runs. Removes a channel without subscriptions.
function channels.answered (found, process, life)
  if meta.subscriptions > 0 or meta.waits > 0 then return answered(found, process, life) end
  forget()
  return found
end

-- Ends the wait of a call.
function channels.left (call, who)
  local channel = channels.open()
  local sub = channel.subs[call.subscription]
  if not sub or sub.who ~= who then return end
  sub.who, sub.last = nil, now
  write('@', cmsgpack.pack(channel))
end

function channels.unsubscribe (token)
  local channel = channels.open()
  channels.drop(channel, token)
  channels.save(channel)
end

-- Ends the subscription of a dead process. "entry": from OWNED.
function channels.bury (owned)
  if string.sub(owned, CHANNEL + 2, CHANNEL + 2) == '@' then channels.unsubscribe(string.sub(owned, CHANNEL + 3)) end
end

-- Ends unused subscriptions.
function channels.visit ()
  if meta.subscriptions == 0 then return end
  local channel = channels.open()
  for token, sub in pairs(channel.subs) do
    if not sub.who and sub.last + channels.UNUSED < now then channels.drop(channel, token) end
  end
  channels.save(channel)
end

function channels.reply (channel, at, missed, texts)
  local first = math.max(at, channel.first)
  local head = '{"cursor":"' .. int(channel.id) .. '.' .. int(first + #texts) .. '","first":' .. int(first) .. missed .. '}'
  return reply('', '', '', '', head .. (#texts > 0 and '\30' or '') .. table.concat(texts, '\30'))
end

-- The messages from a number on that fit into a reply.
function channels.messages (channel, at)
  local first = math.max(at, channel.first)
  local texts, bytes = {}, 0
  while first + #texts < channel.next and bytes < channels.REPLY_BYTES do
    local numbers = {}
    for number = first + #texts, math.min(first + #texts + 32, channel.next) - 1 do numbers[#numbers + 1] = int(number) end
    for _, text in ipairs(redis.call('HMGET', BASE .. ':messages', unpack(numbers))) do
      if not text and #texts == 0 then channel.first = channel.next end -- the server has lost them
      if not text then bytes = math.huge end
      if bytes >= channels.REPLY_BYTES then break end
      texts[#texts + 1] = text
      bytes = bytes + #text
    end
  end
  first = math.max(at, channel.first)
  return channels.reply(channel, at, first > at and ',"missed":' .. int(first - at) or '', texts)
end

-- Publishes a message: who, text, life. Returns the number of current subscribers.
function scripts.publish (keys, args)
  local who, text, life = unpack(args)
  begin()
  open(keys[1])
  if meta.subscriptions == 0 then return 'R  0  ' end
  caller = channelOf(who)
  local channel = channels.open()
  local number, count, isKept = channel.next, 0, false
  for token, sub in pairs(channel.subs) do
    if not isAlive(sub.channel) then
      channels.drop(channel, token)
    else
      count = count + sub.count
      isKept = isKept or not sub.who or #text > LONG / 2
    end
  end
  channel.next = number + 1
  for _, sub in pairs(channel.subs) do
    local waiter = sub.who
    sub.who = nil
    if waiter and withdraw(waiter) then
      local at = #text > LONG / 2 and {} or { text }
      sub.last = now
      sub.next = number + #at
      answer(waiter, channels.reply(channel, number, '', at))
    end
  end
  if isKept then
    hset(BASE .. ':messages', int(number), text)
    channel.bytes = channel.bytes + #text
  end
  channels.save(channel)
  return channels.answered('R  ' .. int(count) .. '  ', caller, life)
end

-- who, token, count, cursor or '', how, life. "how": "wait" for messages, "now" to return existing ones, "end" to end
-- the subscription. Replies like call.
function scripts.subscribe (keys, args)
  local who, token, count, cursor, how, life = unpack(args)
  begin()
  open(keys[1])
  if how == 'end' and meta.subscriptions == 0 then return 'R    ' end
  local channel = channels.open()
  if how == 'end' then
    channels.drop(channel, token, 'ESTORE_ABORTED')
    channels.save(channel)
    return channels.answered('R    ')
  end
  local sub = channel.subs[token]
  if not sub then
    if meta.subscriptions >= channels.MAX_SUBSCRIPTIONS then return answered('ESTORE_QUEUE_FULL') end
    sub = { next = channel.next }
    channel.subs[token] = sub
  end
  local process = channelOf(who)
  if sub.channel ~= process then
    if sub.channel then redis.call('ZREM', OWNED, sub.channel .. ' @' .. token) end
    zadd(OWNED, 0, process .. ' @' .. token)
  end
  sub.count, sub.channel, sub.last = tonumber(count), process, now
  isHeard(process, life)
  local id, number = string.match(cursor, '^(%d+)%.(%d+)$')
  number = id == int(channel.id) and tonumber(number)
  local found
  if not number or number > channel.next then
    found = channels.reply(channel, channel.next, cursor ~= '' and ',"missed":null' or '', {})
  else
    sub.next = number
    local before = sub.who
    if how == 'wait' and before and withdraw(before) then answer(before, 'ESTORE_ABORTED') end
    if how == 'now' or number < channel.next then
      found = channels.messages(channel, number)
    else
      wait(who, { op = 'subscribe', subscription = token, life = life })
      sub.who = who
      found = 'Q86400000'
    end
  end
  channels.save(channel)
  return answered(found)
end
`
