-- settle.lua: a stamp from after all that its caller has applied in this life of the server (shard 0).
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  the server, as the connection learned it: "<run id> <replication id>"
-- returns  {"settled", now, stamp, life}
-- why      data that has the stamp has what was applied before it. That must not be said of data which lost its end and
--          went on: a server that was demoted and promoted may be asked by a connection that knows its earlier life. So
--          the server itself is asked who it is, in the script
local function told(section, field) return string.match(redis.call('INFO', section), field .. ':(%x+)') or '' end
if told('server', 'run_id') .. ' ' .. told('replication', 'master_replid') ~= ARGV[2] then
  return redis.error_reply('WARMERLIFE this connection knows an earlier life of the server')
end
local stamp = next_stamp()
redis.call('HSET', root .. 'life', 'settled:' .. life, text(stamp))
return {'settled', text(now), text(stamp), life}
