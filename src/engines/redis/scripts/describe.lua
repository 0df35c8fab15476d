-- Counters and options, in the order in which they stand in an answer to `collections`; nothing if there is no such collection.
if redis.call('EXISTS', BASE) == 0 then return {} end
evenIfFull()
sweep(1000)
save()
return {
  int(redis.call('ZCARD', NAMES)), int(meta.bytes), int(redis.call('ZCARD', UNTIL)), int(redis.call('ZCARD', QUEUE)),
  int(meta.reads), int(meta.writes), int(meta.expired), int(meta.evicted),
  int(meta.idle), int(meta.maxKeys), int(meta.maxBytes), int(1 - meta.refuse)
}
