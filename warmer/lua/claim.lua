-- claim.lua: take what is due, what saves its readers most first, and move its due time on by a claim.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] scheduler (its identity)   ARGV[3] most to take   ARGV[4] claim_us
-- ARGV[5]  most claims that may be open at once (what the workers will do soon)
-- ARGV[6..] queries that this scheduler knows, each as its members begin (<query>@<version>:), or <query> for any version
-- returns  {now, how many more are due, {{member, claim stamp, due_at, tokens or "", cost_us}, ...},
--           claims open now, how many messages workers have settled so far, claims that have just run out}
-- why      a claim is not a message: if the message is lost, the entry is due again when the claim has passed
local claims, claim_us = root .. 'claims', tonumber(ARGV[4])
redis.call('ZADD', root .. 'schedulers', text(now), ARGV[2])
redis.call('ZREMRANGEBYSCORE', root .. 'schedulers', '-inf', text(now - 60000000))
local run_out = redis.call('ZREMRANGEBYSCORE', claims, '-inf', text(now))
local open = redis.call('ZCARD', claims)
local room = math.min(tonumber(ARGV[3]), tonumber(ARGV[5]) - open)
local due, over = {}, 0

-- Something is done about the entry already, or nobody reads it any more: no message for it now.
local function put_off(index, member, heat, warming)
  local failure = redis.call('HGET', root .. 'failures', member)
  local retry = failure and tonumber(string.match(failure, '^%d+ (%d+)')) or 0
  local lease = live_lease('leases', member)
  if lease then
    -- Somebody loads it. If nothing comes of that, it is due the moment its lease runs out.
    redis.call('ZADD', index, text(lease.expires), member)
  elseif retry > now then
    redis.call('ZADD', index, text(retry), member)
  elseif not warming and heat and heat.admitted and heat.idle_us > 0 and now - heat.last_read > heat.idle_us then
    redis.call('ZADD', index, '+inf', member)
    write_heat(member, nil)
  else
    return false
  end
  return true
end

-- Entries of another version are for a scheduler of that release. If none takes them, it is gone, and they with it.
local function foreign(index, member, at, stem)
  if string.sub(member, 1, #stem) == stem or not string.find(stem, '@', 1, true) then return false end
  if at < now - 60000000 - claim_us then redis.call('ZADD', index, '+inf', member) end
  return true
end

local function consider(index, found, stem)
  for j = 1, #found, 2 do
    local member, at = found[j], tonumber(found[j + 1])
    local heat, warming = heat_of(member), redis.call('HEXISTS', root .. 'warming', member) == 1
    if foreign(index, member, at, stem) or put_off(index, member, heat, warming) then
      over = over - 1
    else
      local header = header_of(member)
      local cost = header and header.cost or 1000000
      -- What a run waits for has no due time of its own: its turn in a long run is not the queue's wait.
      due[#due + 1] = {member = member, at = warming and now or at, index = index, cost = cost,
                       saves = (heat and heat.rate or 0.001) * cost}
    end
  end
end

for i = 6, #ARGV do
  local index = root .. 'index:' .. query_of(ARGV[i])
  local waiting = redis.call('ZCOUNT', index, '-inf', text(now))
  over = over + waiting
  if room > 0 and waiting > 0 then
    consider(index, redis.call('ZRANGE', index, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, 200, 'WITHSCORES'), ARGV[i])
    -- In a long backlog (a run of thousands), what fell due last may be what is read most.
    if waiting > 200 then
      local newest = math.min(200, waiting - 200)
      consider(index, redis.call('ZRANGE', index, text(now), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, newest,
                                 'WITHSCORES'), ARGV[i])
    end
  end
end

table.sort(due, function(a, b)
  if a.saves ~= b.saves then return a.saves > b.saves end
  return a.member < b.member
end)
local taken = {}
for i = 1, math.min(room, #due) do
  local entry = due[i]
  redis.call('ZADD', entry.index, text(now + claim_us), entry.member)
  redis.call('ZADD', claims, text(now + claim_us), entry.member)
  taken[i] = {entry.member, text(next_stamp()), text(entry.at),
              redis.call('HGET', root .. 'params', entry.member) or '', text(entry.cost)}
end
return {text(now), over - #taken, taken, open + #taken, tonumber(redis.call('GET', root .. 'settled') or 0), run_out}
