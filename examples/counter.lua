-- SPDX-License-Identifier: MIT
--
-- A protocol of lines whose state is in a Redis, so that all workers, and all moongates, count together: "hit NAME"
-- counts, "get NAME" tells. The client of Redis is a library for LuaSocket, or these few lines.
--
-- Try it: printf 'hit moon\nget moon\n' | nc -N localhost 9030

local REDIS = os.getenv("REDIS") or "127.0.0.1:6379"

-- One request and its answer: a text, or nil and what is wrong.
local function ask(redis, ...)
  local request = { ("*%d\r\n"):format(select("#", ...)) }
  for _, word in ipairs({ ... }) do
    request[#request + 1] = ("$%d\r\n%s\r\n"):format(#word, word)
  end
  local sent, err = redis:send(request)
  local line = sent and nil
  if sent then
    line, err = redis:receive("*l")
  end
  local kind, rest = (line or ""):match("^(.)(.*)$")
  if kind == "$" and rest ~= "-1" then
    local body = redis:receive(tonumber(rest) + 2)
    return body and body:sub(1, -3), "cut short"
  elseif kind == ":" or kind == "$" then
    return kind == ":" and rest or "0"
  end
  return nil, rest or err
end

local function serve(socket, context)
  local redis, err = moongate.connect(REDIS, { timeout = 2 })
  if not redis then
    moongate.log.error("no redis", { why = err, client = context.client_ip })
    socket:send("-try again later\r\n")
    return
  end
  redis:settimeout(1)
  socket:settimeout("5m")
  local commands = { hit = "INCR", get = "GET" }
  for line in socket:lines() do
    local word, name = line:match("^(%l+) (%w+)$")
    local answer, why = nil, "hit NAME, or get NAME"
    if commands[word] then
      answer, why = ask(redis, commands[word], name)
    end
    socket:send({ answer and "+" .. answer or "-" .. why, "\r\n" })
  end
end

return {
  name = "counter",
  match = { ports = 9030 },
  action = { handler = serve },
}
