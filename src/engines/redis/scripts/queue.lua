-- Who holds a key and who waits for it. ARGV: key. First the lock, as in held.lua, then of each of the first hundred who wait:
-- owner, op, since. Nothing if it is not locked.
local found = {}
local lock = heldLock(ARGV[1])
if lock then
  found[1] = described(lock)
  for _, place in ipairs(queued(lock, 100)) do
    local call = place[2]
    found[#found + 1] = { call.owner or string.match(place[1], '^(.*) ') or '', call.op or 'del', int(call.since) }
  end
end
save()
return found
