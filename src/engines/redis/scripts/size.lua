-- How many keys have a value and are not past their time.
evenIfFull()
sweep(1000)
save()
local count = redis.call('ZCARD', NAMES) - redis.call('ZCOUNT', ENDS, '-inf', '(' .. int(now))
local before = idleLimit()
if before then count = count - redis.call('ZCOUNT', IDLE, '-inf', '(' .. int(before)) end
return reply('', '', int(count), '', '')
