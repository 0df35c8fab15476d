// Finds commands that the scripts need, but that the user may not use or the server does not have.
export default String.raw`
-- Each command is tried on an unused key, in a form that does not fail, because the server counts errors. K stands for
-- the key, C for the channel.
local FORMS = {
  time = '', pubsub = '', publish = 'C x',
  hdel = 'K x', hexists = 'K x', hget = 'K x', hincrby = 'K x 0', hmget = 'K x', hset = 'K x x', sadd = 'K x',
    set = 'K x XX', sismember = 'K x',
  pexpire = 'K 1', pexpireat = 'K 1', zadd = 'K XX 0 x', zcount = 'K 0 0', zlexcount = 'K - +', zrange = 'K 0 0',
    zrangebylex = 'K - +',
  zrangebyscore = 'K 0 0', zrem = 'K x', zscore = 'K x'
}

-- Arguments: a channel of the store, then the commands. Returns the missing ones.
function scripts.rights (keys, args)
  local key, channel = keys[1], args[1]
  local missing, seen = {}, {}
  local function miss (name)
    if not seen[name] then missing[#missing + 1] = name end
    seen[name] = true
  end
  for i = 2, #args do
    local words = {}
    for word in string.gmatch(args[i], '%S+') do words[#words + 1] = word end
    for word in string.gmatch(FORMS[words[1]] or 'K', '%S+') do
      words[#words + 1] = word == 'K' and key or word == 'C' and channel or word
    end
    local result = redis.pcall(unpack(words))
    local message = type(result) == 'table' and result.err or ''
    if string.find(message, "can't run this command", 1, true) or string.find(message,
      'nknown .*command called from script') then
      miss(args[i])
    elseif string.find(message, 'of the keys', 1, true) then
      miss('keys ' .. key)
    elseif string.find(message, 'of the channels', 1, true) then
      miss('channel ' .. channel)
    end
    local cleaned = redis.pcall('DEL', key)
    if type(cleaned) == 'table' then redis.pcall('UNLINK', key) end
  end
  return missing
end
`
