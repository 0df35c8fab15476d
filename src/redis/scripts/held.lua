-- Who holds what: of each lock key, owner, fence, since, when its lease ends ('' without) and how many wait.
local found = {}
for _, key in ipairs(redis.call('HKEYS', LOCKS)) do
  local lock = heldLock(key)
  if lock then
    found[#found + 1] = described(lock)
  end
end
save()
return found
