-- Takes a call that still waits out of its queue. ARGV: who, key, token. If its turn has come already and it has brought the lock
-- of that token, which nobody wants any more, the lock ends. Answers with 1, or 0 if the call did not wait.
evenIfFull()
if withdraw(ARGV[1]) then return 1 end
local lock = ARGV[3] ~= '' and heldLock(ARGV[2])
if lock and lock.token == ARGV[3] then finish(lock, false) end
save()
return 0
