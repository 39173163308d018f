-- SPDX-License-Identifier: MIT
--
-- A filtering proxy of a Redis: requests are read in Lua, and only the commands listed here get through; what is long
-- in them, and all replies, go by natively. What is refused is asked for by a name that no Redis knows, so that its
-- error comes in its place among the replies.
--
-- Try it: redis-cli -p 9031 get moon

local REDIS = os.getenv("REDIS") or "127.0.0.1:6379"
local REFUSED = "*1\r\n$11\r\nnot-allowed\r\n"
local SHORT, MOST_WORDS, PARTS = 1024, 100000, 64
local allowed = {}
for name in ("GET MGET SET SETEX DEL EXISTS TTL EXPIRE INCR DECR PING QUIT"):gmatch("%u+") do
  allowed[name], allowed[name:lower()] = true, true
end

local function number(client, pattern, most)
  local line = client:receive()
  local value = tonumber(line and line:match(pattern))
  return value and value <= most and value
end

-- One request, from the client to Redis. False when there is none, or none that it understands.
local function pass(client, redis)
  local count = number(client, "^%*(%d+)$", MOST_WORDS)
  local size = count and count > 0 and number(client, "^%$(%d+)$", SHORT)
  local name = size and client:receive(size + 2)
  local fine = name and allowed[name:sub(1, -3)]
  local parts = { fine and ("*%d\r\n$%d\r\n%s"):format(count, size, name) or REFUSED }
  for _ = 2, name and count or 0 do
    size = number(client, "^%$(%d+)$", fine and math.huge or SHORT)
    local word = size and (size > SHORT and "" or client:receive(size + 2))
    if not word then
      return false
    elseif fine then
      parts[#parts + 1] = ("$%d\r\n%s"):format(size, word)
    end
    if size > SHORT or #parts == PARTS then
      redis:send(parts)
      parts = {}
    end
    if size > SHORT and not client:pipe(redis, { bytes = size + 2 }) then
      return false
    end
  end
  return name and redis:send(parts)
end

local function serve(client)
  local redis = assert(moongate.connect(REDIS, { timeout = 2 }))
  local replies = moongate.spawn(function()
    redis:pipe(client, { one_way = true })
    client:close() -- it is Redis that has ended: so does the loop below
  end)
  client:settimeout("5m")
  while pass(client, redis) do end
  redis:shutdown("send") -- what was asked for is still answered
  replies:join()
end
return { name = "redis-filter", match = { ports = 9031 }, action = { handler = serve } }
