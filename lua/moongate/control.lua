-- SPDX-License-Identifier: MIT
--
-- How commands talk to a running moongate: one request over its control socket. What they make of the answer is theirs.

local json = require "moongate.json"
local places = require "moongate.places"

local control = {}

local TIMEOUT, LARGEST, PIECE = 10, 64 * 1024 * 1024, 64 * 1024

-- What the system says, in lower case, and what to do about it.
local ADVICE = {
  { "no such file", "no moongate answers on %s: is it running? (--control PATH, if its socket is elsewhere)" },
  {
    "refused",
    "no moongate answers on %s: the socket is there, but nothing listens; moongate has ended (it was killed, or, "
      .. "with `user` in its config, the file stays until the next start)",
  },
  { "denied", "%s may not be opened by this user: run the command as the user that moongate runs as" },
  { "not permitted", "%s may not be opened by this user: run the command as the user that moongate runs as" },
  { "timeout", "moongate does not answer on %s: is it stopped, or too busy?" },
  { "timed out", "moongate does not answer on %s: is it stopped, or too busy?" },
}

local function explain(path, failure)
  local text = tostring(failure):lower()
  for _, advice in ipairs(ADVICE) do
    if text:find(advice[1], 1, true) then
      return advice[2]:format(path)
    end
  end
  return ("%s: %s"):format(path, tostring(failure))
end

--- Where the control socket may be, in the order in which it is looked for. `path`: what the user said; nil: nothing.
function control.paths(path)
  if path then
    return { path }
  end
  return places.controls({ XDG_RUNTIME_DIR = os.getenv "XDG_RUNTIME_DIR" })
end

-- Connecting is refused both ways: without a socket, and by one that nobody listens on any more.
local function is_there(path)
  local file, failure = io.open(path)
  if file then
    file:close()
  end
  return file ~= nil or not tostring(failure):lower():find("no such file", 1, true)
end

-- The connected socket and its path; or nil and a message about the one that came closest to answering.
local function open(paths, connect)
  local closest
  for _, path in ipairs(paths) do
    local socket, failure = connect("unix:" .. path, nil, { timeout = TIMEOUT })
    if socket then
      return socket, path
    end
    if not closest and is_there(path) then
      closest = explain(path, failure)
    end
  end
  return nil, closest or explain(table.concat(paths, " or "), "no such file")
end

-- All that the other side sends until it ends, within `timeout` seconds.
local function read_all(socket, now, timeout)
  local pieces, size, deadline = {}, 0, now() + timeout
  while true do
    local left = deadline - now()
    if left <= 0 then
      return nil, "timeout"
    end
    socket:settimeout(left)
    local bytes, failure = socket:receiveany(PIECE)
    if not bytes then
      if failure ~= "closed" then
        return nil, failure
      end
      return table.concat(pieces)
    end
    pieces[#pieces + 1] = bytes
    size = size + #bytes
    if size > LARGEST then
      return nil, ("the answer is larger than %d MiB"):format(LARGEST / 1024 / 1024)
    end
  end
end

-- Status, body and headers by their names in lower case; or nil.
local function parse(text)
  local status, at = text:match "^HTTP/1%.[01] (%d%d%d)[^\r\n]*\r\n()"
  local head_end, body_start = text:find("\r\n\r\n", 1, true)
  if not status or not head_end then
    return nil
  end
  local headers = {}
  for name, value in text:sub(at, head_end + 1):gmatch "([^:\r\n]+):[ \t]*([^\r\n]*)\r\n" do
    headers[name:lower()] = value
  end
  local body = text:sub(body_start + 1)
  local length = tonumber(headers["content-length"])
  if not length or length ~= #body then
    return nil
  end
  return tonumber(status), body, headers
end

local function encode(method, target, body)
  local lines = {
    ("%s %s HTTP/1.1"):format(method, target),
    "Host: moongate",
    "Accept: application/json",
  }
  if body or method ~= "GET" then
    lines[#lines + 1] = "Content-Length: " .. #(body or "")
  end
  lines[#lines + 1] = "Connection: close\r\n\r\n"
  return table.concat(lines, "\r\n") .. (body or "")
end

--- Sends a request to the moongate behind the control socket at `path` (nil: where it usually is). Returns the status,
--- the body, decoded where it is JSON, and the body as it came; or nil, a message that says what to do, and "cut" when
--- the answer ended too early. Waits: 10 seconds at most for each step, `timeout` seconds (nil: 10) for the answer.
function control.request(path, method, target, request_body, timeout)
  local moongate = require "moongate"
  local socket, found = open(control.paths(path), moongate.connect)
  if not socket then
    return nil, found
  end
  socket:settimeout(TIMEOUT)
  local sent, failure = socket:send(encode(method, target, request_body))
  local text
  if sent then
    text, failure = read_all(socket, moongate.now, timeout or TIMEOUT)
  end
  socket:close()
  if not text then
    return nil, explain(found, failure)
  end
  local status, body, headers = parse(text)
  if not status then
    return nil, ("%s: what answers there is no moongate, or its answer was cut off"):format(found), "cut"
  end
  local raw = body
  if (headers["content-type"] or ""):find("application/json", 1, true) then
    body, failure = json.decode(body)
    if body == nil then
      return nil, ("%s: the answer is not the JSON that it says it is: %s"):format(found, tostring(failure))
    end
  end
  return status, body, raw
end

--- request() with GET.
function control.get(path, target)
  return control.request(path, "GET", target)
end

return control
