-- recall.lua: what is stored of an entry whose ttl is learned, before the next load of it is stored.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] member
-- returns  {header, checksum and digest of the value that may be served, or "", what its loads have found, or ""}
-- why      both are of one moment: a value that was removed in between must not be taken for the one compared with
local member = ARGV[2]
local front = redis.call('GETRANGE', root .. 'e:' .. member, 0, header_size + 11)
local header = read_header(front)
local record = redis.call('HGET', root .. 'learned', member) or ''
-- One that was invalidated (flag 4) was told of: that it differs says nothing about changes that nobody tells of.
if not header or header.life ~= life or math.floor(header.flags / 4) % 2 == 1 then front = '' end
return {front, (string.gsub(record, '^%d+ ', ''))}
