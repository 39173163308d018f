-- SPDX-License-Identifier: MIT
--
-- A small protocol of lines. Try it: nc localhost 9001
--
-- A handler is an ordinary function. It may wait (receive, send, sleep, connect) and nothing else waits with it: each
-- connection has its own coroutine. Sockets keep the conventions of LuaSocket.

local commands = {}

function commands.hello(name)
  return name and ("hello, %s"):format(name) or "hello who? (hello NAME)"
end

function commands.time()
  return os.date("!%Y-%m-%d %H:%M:%S UTC")
end

function commands.help()
  return "commands: hello NAME, time, help, quit"
end

function commands.quit()
  return "bye", true
end

local function unknown()
  return "I don't know that one. " .. commands.help()
end

local function serve(socket, context)
  socket:settimeout(300) -- seconds that each wait may take
  socket:send(("moongate: welcome, %s. %s\r\n"):format(context.client_ip, commands.help()))
  while true do
    local line = socket:receive("*l")
    if not line then
      return -- the client has ended, or said nothing for too long
    end
    local word, rest = line:match("^%s*(%S+)%s*(.-)%s*$")
    if word then
      local answer, last = (commands[word:lower()] or unknown)(rest ~= "" and rest or nil)
      socket:send(answer .. "\r\n")
      if last then
        return -- what was sent still goes out
      end
    end
  end
end

return {
  name = "line",
  match = { ports = 9001 },
  action = { handler = serve },
}
