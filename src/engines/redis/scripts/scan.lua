-- A page of names, in the order in which they came to be, which no change of a value alters. ARGV: the number to go on from,
-- how many names to look at, prefix. Answers with the JSON that engine.ts describes; the next number is one after the last.
local MAX_BYTES = 4194304 -- of texts that may be read for one page
local from, limit, prefix = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local names = redis.call('ZRANGEBYSCORE', NAMES, from, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local keys = {}
local bytes = 0
local last
for i = 1, #names, 2 do
  local key = names[i]
  if bytes > MAX_BYTES then break end
  last = names[i + 1]
  if string.sub(key, 1, #prefix) == prefix then
    local entry = load(key)
    local isLocked = redis.call('HEXISTS', RECORDS, '!' .. key) == 1
    bytes = bytes + #entry.text
    if isLocked or not isPast(entry) then
      local left = expiresIn(entry, isLocked)
      keys[#keys + 1] = '[' .. cjson.encode(key) .. ',' .. entry.version .. ',' .. (left == '' and 'null' or left) .. ',' .. #entry.text .. ']'
    end
  end
end
local isEnd = not last or (last == names[#names] and #names < 2 * limit)
return 'R    {"keys":[' .. table.concat(keys, ',') .. ']' .. (isEnd and '' or ',"cursor":"' .. int(tonumber(last) + 1) .. '"') .. '}'
