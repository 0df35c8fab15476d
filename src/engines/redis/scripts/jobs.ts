// Walks over all names of a collection or of a prefix, in steps.
export default String.raw`
-- JOBS has a list of { kind, number, prefix, at, hasSpared }; "at" is the last name that was visited. A "wipe" removes
-- what begins with the prefix and was written before the number: it is gone for every reader from the start. A key that
-- was locked then is spared until its lock ends, and after that if no call waits for the clear any more: see "spare".
-- A "track" enters keys as used at the number, where uses were not tracked before.
local STEP = 50

local function jobs ()
  if not caches.jobs then
    local stored = redis.call('GET', JOBS)
    caches.jobs = stored and cmsgpack.unpack(stored) or {}
  end
  return caches.jobs
end

local function saveJobs ()
  change('jobs', #jobs())
  if meta.jobs == 0 then
    redis.call('DEL', JOBS)
  else
    redis.call('SET', JOBS, cmsgpack.pack(jobs()))
    if meta.expire > 0 then redis.call('PEXPIREAT', JOBS, int(meta.expire)) end
  end
end

local function addJob (kind, number, prefix)
  local list = jobs()
  list[#list + 1] = { kind = kind, number = number, prefix = prefix, at = '', hasSpared = false }
  saveJobs()
end

local function startsWith (key, prefix)
  return string.sub(key, 1, #prefix) == prefix
end

local function wipes (job, entry)
  return job.kind == 'wipe' and tonumber(versionOf(entry)) < job.number and startsWith(entry.key, job.prefix)
end

-- Keys that a wipe leaves alone though they are not locked any more. Most have none.
local function sparedBy (job)
  return BASE .. ':spared:' .. int(job.number)
end

-- Whether an entry was cleared and is still there. If so it is removed now.
function isWiped (entry)
  for _, job in ipairs(jobs()) do
    if wipes(job, entry) then
      local lock = lockOf(entry.key)
      if not (lock and lock.place < job.number) and
        not (job.hasSpared and redis.call('SISMEMBER', sparedBy(job), entry.key) == 1) then
        remove(entry)
        return true
      end
    end
  end
  return false
end

-- The lock of a key ends, or goes on to the call of that number: wipes do not find it any more. The clears that are
-- still waited for remove the key.
local function spare (lock, number)
  local entry = load(lock.key)
  if not entry then return end
  for _, job in ipairs(jobs()) do
    if lock.place < job.number and not (number and number < job.number) and wipes(job, entry) then
      redis.call('SADD', sparedBy(job), lock.key)
      if meta.expire > 0 then redis.call('PEXPIREAT', sparedBy(job), int(meta.expire)) end
      job.hasSpared = true
      saveJobs()
    end
  end
end

local function endJob (job)
  if job.hasSpared then redis.call('UNLINK', sparedBy(job)) end
end

-- The range of the names that begin with a prefix, behind one of them where it is given. No UTF-8 has the byte 255.
local function rangeOf (prefix, at)
  return at ~= '' and '(' .. at or '[' .. prefix, prefix == '' and '+' or '(' .. prefix .. '\255'
end

-- Returns true if there is more to do.
local function stepJob (job)
  local from, to = rangeOf(job.prefix, job.at)
  putAll()
  local names = redis.call('ZRANGEBYLEX', NAMES, from, to, 'LIMIT', 0, STEP)
  local last = #names
  local used = { [IDLE] = {}, [TIMED] = {} }
  for i, key in ipairs(names) do
    fetch(names, i)
    local entry = load(key) -- which removes wiped keys
    if entry and job.kind == 'track' and not read('!' .. key) then
      local list = used[entry.finish > 0 and TIMED or IDLE]
      list[#list + 1], list[#list + 2] = int(job.number), key
    end
    work = work - 3 / 4
    if isSpent() then
      last = i
      break
    end
  end
  for set, list in pairs(used) do
    if #list > 0 then zadd(set, 'NX', unpack(list)) end
  end
  job.at = names[last]
  return last == STEP or last < #names
end

-- Continues the walks within the work budget.
function stepJobs ()
  while meta.jobs > 0 do
    if isSpent() then break end
    local job = jobs()[1]
    if not stepJob(job) then
      endJob(table.remove(jobs(), 1))
      change('jobs', #jobs())
    end
  end
  saveJobs()
end
`
