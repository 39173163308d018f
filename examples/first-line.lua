-- SPDX-License-Identifier: MIT
--
-- A proxy that looks at the first line, and forwards by it: "tenant red" goes to red's server, the line included, and
-- all that follows natively, without Lua.
--
-- Try it: printf 'tenant red\nhello\n' | nc -N localhost 9020

local TENANTS = { red = "127.0.0.1:9021", blue = "127.0.0.1:9022" }
local MAX_LINE = 256

-- The first line, which stays in the socket: peek waits until there is more than was seen before.
local function peek_line(socket)
  local seen = ""
  repeat
    local text, err = socket:peek(#seen + 1)
    if not text or #text == #seen then
      return nil, err or "closed" -- fewer bytes than asked for: the client has ended
    end
    seen = text
    local line = seen:match("^([^\n]*)\n")
    if line then
      return (line:gsub("\r$", ""))
    end
  until #seen == MAX_LINE
  return nil, "line too long"
end

local function serve(socket, context)
  socket:settimeout(10)
  local line, err = peek_line(socket)
  local target = TENANTS[line and line:match("^tenant (%w+)$")]
  if not target then
    moongate.log.info("no such tenant", { line = line, why = err, client = context.client_ip })
    socket:send("unknown tenant\n")
    return
  end
  context:forward(target) -- does not return
end

return {
  name = "first-line",
  match = { ports = 9020 },
  action = { handler = serve },
}
