// What the scripts need and the user may not do, or the server does not have.
export default String.raw`
-- Each command is tried with as few arguments as it takes, on a key that nobody uses: the key that is named. Arguments: a channel of
-- the store, then the commands. Answers with names.
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
    local message
    for _ = 1, 8 do
      local result = redis.pcall(unpack(words))
      message = type(result) == 'table' and result.err or ''
      if not string.find(message, 'rong number of arg') then break end
      words[#words + 1] = #words == 1 and (words[1] == 'publish' and channel or key) or 'none'
    end
    if string.find(message, "can't run this command", 1, true) or string.find(message, 'nknown .*command called from script') then
      miss(args[i])
    elseif string.find(message, 'of the keys', 1, true) then
      miss('keys ' .. key)
    elseif string.find(message, 'of the channels', 1, true) then
      miss('channel ' .. channel)
    end
  end
  redis.pcall('DEL', key)
  redis.pcall('UNLINK', key) -- should the other be what is missing
  return missing
end
`
