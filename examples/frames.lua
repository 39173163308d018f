-- SPDX-License-Identifier: MIT
--
-- A protocol of one's own: frames of bytes, each behind its length (two bytes, the high one first). A frame is a
-- command and a text; the answer is a frame that begins with "+", or with "-" when something is wrong.
--
-- Try it: printf '\0\013upper hello' | nc -N localhost 9010 | xxd

local MAX = 4096

local commands = {
  upper = string.upper,
  reverse = string.reverse,
  length = function(text)
    return tostring(#text)
  end,
}

local function send_frame(socket, text)
  return socket:send({ string.char(math.floor(#text / 256), #text % 256), text })
end

-- The next frame; nil when there is none: the client has ended, is too slow, or sends too much.
local function receive_frame(socket)
  local head = socket:receive(2)
  if not head then
    return nil
  end
  local high, low = head:byte(1, 2)
  local length = high * 256 + low
  if length > MAX then
    send_frame(socket, "-frame too long")
    return nil
  end
  return socket:receive(length)
end

local function serve(socket)
  socket:settimeout("1m") -- that each wait may take; nobody else waits meanwhile
  for frame in receive_frame, socket do
    local word, text = frame:match("^(%l+) ?(.*)$")
    local command = commands[word]
    if not send_frame(socket, command and "+" .. command(text) or "-unknown command") then
      return
    end
  end
end

return {
  name = "frames",
  match = { ports = 9010 },
  action = { handler = serve },
}
