-- A process ends its part in a collection: its locks are released without changes, its calls do not wait any more.
-- ARGV: JSON of { held: [[key, token]], waiting: who }.
local asked = cjson.decode(ARGV[1])
evenIfFull()
for _, who in ipairs(asked.waiting) do withdraw(who) end
for _, pair in ipairs(asked.held) do
  local lock = heldLock(pair[1])
  if lock and lock.token == pair[2] then finish(lock, false) end
end
save()
return 1
