-- tally.lua: what a process has read in the last seconds: admission to being kept warm, and the order of refreshes.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] span_us: the time that the counts cover
-- ARGV[3..] member, reads, keep, ttl_us, idle_us, max_kept, member, ...
-- returns  {"tallied", now}
-- why      reads are counted in the process and told in one call, never on the read path
local span_s = tonumber(ARGV[2]) / 1000000
for i = 3, #ARGV, 6 do
  local member, reads, keep = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local ttl_us, idle_us = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local heat = heat_of(member)
  if heat and now - heat.last_read > math.max(idle_us, 2 * ttl_us) then heat = nil end
  if not heat then heat = {last_read = now, rate = 0, admit_at = now + ttl_us, admitted = false} end
  -- Several processes report in turn: the rate decays over about four reports of one process.
  local weight = math.min(1, (now - heat.last_read) / (4 * tonumber(ARGV[2])))
  heat.rate = heat.rate * (1 - weight) + 0.25 * reads / math.max(span_s, 0.001)
  heat.last_read, heat.idle_us = now, keep == 'always' and 0 or idle_us
  if keep == 'while_read' and not heat.admitted and now > heat.admit_at then heat.admitted = true end
  if heat.admitted then
    local index = root .. 'index:' .. query_of(member)
    if tonumber(redis.call('ZSCORE', index, member) or 0) == math.huge then
      if redis.call('ZCOUNT', index, '-inf', '(+inf') < tonumber(ARGV[i + 5]) then
        local header = header_of(member)
        redis.call('ZADD', index, text(header and header.due_at > 0 and header.due_at or now), member)
      else
        redis.call('HINCRBY', root .. 'over', query_of(member), 1)
      end
    end
  end
  write_heat(member, heat)
end
-- Records of what nobody reads any more go by sampling, like members of names.
for _, bucket in ipairs(redis.call('HRANDFIELD', buckets, math.ceil((#ARGV - 2) / 480))) do
  if bucket ~= 'n' then forget_cold(bucket, redis.call('HGET', buckets, bucket)) end
end
return {'tallied', text(now)}
