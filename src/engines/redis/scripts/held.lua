-- Who holds what: of each lock key, owner, fence, since, when its lease ends ('' without) and how many wait. ARGV: of how many.
local found, limit = {}, tonumber(ARGV[1])
for _, key in ipairs(redis.call('ZRANGE', UNTIL, 0, -1)) do
  if #found >= limit then break end
  local lock = heldLock(key)
  if lock then
    found[#found + 1] = described(lock)
  end
end
save()
return found
