-- What the scripts need and the user may not do, or the server does not have: each of their commands is tried in a way that
-- changes nothing, whatever it finds. KEYS[1]: a key of the store. ARGV[1]: a channel of it. Answers with names.
local KEY = KEYS[1]
local TRIALS = {
  { 'del', KEY }, { 'exists', KEY }, { 'persist', KEY }, { 'pexpire', KEY, 'none' },
  { 'hdel', KEY, '' }, { 'hexists', KEY, '' }, { 'hget', KEY, '' }, { 'hincrby', KEY, '', 'none' }, { 'hkeys', KEY }, { 'hmget', KEY, '' },
  { 'hset', KEY, '', '', '' },
  { 'zadd', KEY, 'none', '' }, { 'zcard', KEY }, { 'zcount', KEY, 0, 0 }, { 'zlexcount', KEY, '-', '+' }, { 'zrange', KEY, 0, 0 },
  { 'zrangebylex', KEY, '-', '+' }, { 'zrangebyscore', KEY, 0, 0 }, { 'zrem', KEY, '' }, { 'zscore', KEY, '' },
  { 'publish', ARGV[1], '' }, { 'pubsub', 'numsub', ARGV[1] }, { 'time' }
}
local missing = {}
local seen = {}

local function miss (name)
  if not seen[name] then missing[#missing + 1] = name end
  seen[name] = true
end

for _, trial in ipairs(TRIALS) do
  local result = redis.pcall(unpack(trial))
  local message = type(result) == 'table' and result.err or ''
  if string.find(message, "can't run this command", 1, true) or string.find(message, 'nknown .*command called from script') then
    miss(trial[1])
  elseif string.find(message, 'of the keys', 1, true) then
    miss('keys ' .. KEY)
  elseif string.find(message, 'of the channels', 1, true) then
    miss('channel ' .. ARGV[1])
  end
end
return missing
