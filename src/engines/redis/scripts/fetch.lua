-- A long answer to a call that had to wait. ARGV: who.
local kept = redis.call('HGET', KEPT, ARGV[1])
redis.call('HDEL', KEPT, ARGV[1])
return kept
