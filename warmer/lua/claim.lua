-- claim.lua: take what is due, what saves its readers most first, and move its due time on by a claim.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] scheduler (its identity)   ARGV[3] most to take   ARGV[4] claim_us
-- ARGV[5]  most claims that may be open at once (what the workers will do soon)
-- ARGV[6..] queries that this scheduler knows
-- returns  {now, how many more are due, {member, claim stamp, due_at, tokens or "", cost_us}, ...}
-- why      a claim is not a message: if the message is lost, the entry is due again when the claim has passed
local claims, claim_us = root .. 'claims', tonumber(ARGV[4])
redis.call('ZADD', root .. 'schedulers', text(now), ARGV[2])
redis.call('ZREMRANGEBYSCORE', root .. 'schedulers', '-inf', text(now - 60000000))
redis.call('ZREMRANGEBYSCORE', claims, '-inf', text(now))
local room = math.min(tonumber(ARGV[3]), tonumber(ARGV[5]) - redis.call('ZCARD', claims))
local due, over = {}, 0

for i = 6, #ARGV do
  local index = root .. 'index:' .. ARGV[i]
  local found = redis.call('ZRANGE', index, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, 200, 'WITHSCORES')
  for j = 1, #found, 2 do
    local member, at = found[j], tonumber(found[j + 1])
    local heat, failure = heat_of(member), redis.call('HGET', root .. 'failures', member)
    local retry = failure and tonumber(string.match(failure, '^%d+ (%d+)')) or 0
    local warming = redis.call('HEXISTS', root .. 'warming', member) == 1
    local lease = live_lease('leases', member)
    if lease then
      -- Somebody loads it. If nothing comes of that, it is due the moment its lease runs out.
      redis.call('ZADD', index, text(lease.expires), member)
    elseif retry > now then
      redis.call('ZADD', index, text(retry), member)
    elseif not warming and heat and heat.admitted and heat.idle_us > 0 and now - heat.last_read > heat.idle_us then
      redis.call('ZADD', index, '+inf', member)
      redis.call('HDEL', root .. 'heat', member)
    else
      local header = header_of(member)
      local cost = header and header.cost or 1000000
      due[#due + 1] = {member = member, at = at, index = index, cost = cost,
                       saves = (heat and heat.rate or 0.001) * cost}
    end
  end
end

table.sort(due, function(a, b)
  if a.saves ~= b.saves then return a.saves > b.saves end
  return a.member < b.member
end)
local taken = {}
for _, entry in ipairs(due) do
  if #taken < room then
    redis.call('ZADD', entry.index, text(now + claim_us), entry.member)
    redis.call('ZADD', claims, text(now + claim_us), entry.member)
    taken[#taken + 1] = {entry.member, text(next_stamp()), text(entry.at),
                         redis.call('HGET', root .. 'params', entry.member) or '', text(entry.cost)}
  else
    over = over + 1
  end
end
return {text(now), over, taken}
