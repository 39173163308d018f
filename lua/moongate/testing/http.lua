-- SPDX-License-Identifier: MIT
--
-- An HTTP/1.1 client for specs: one request on a connected socket, the whole answer in memory.

local http = {}

local PORTS = { http = 80, https = 443 }
local LARGEST = 64 * 1024 * 1024

---{ scheme =, host = (as the Host header has it), port =, path = }, or nil.
function http.parse_url(url)
  local scheme, host, path = tostring(url):match "^(%a+)://([^/?#]+)([^#]*)"
  scheme = scheme and scheme:lower()
  if not PORTS[scheme] then
    return nil
  end
  local port = host:match ":(%d+)$"
  if path:sub(1, 1) ~= "/" then
    path = "/" .. path
  end
  return { scheme = scheme, host = host, port = tonumber(port) or PORTS[scheme], path = path }
end

local function encode(target, options)
  local body = options.body
  local fields = { Host = target.host, Connection = "close" }
  if body then
    fields["Content-Length"] = #body
  end
  for name, value in pairs(options.headers or {}) do
    for known in pairs(fields) do
      if known:lower() == name:lower() then
        fields[known] = nil
      end
    end
    fields[name] = value
  end
  local lines = { ("%s %s HTTP/1.1"):format(options.method or (body and "POST" or "GET"), target.path) }
  for name, value in pairs(fields) do
    lines[#lines + 1] = ("%s: %s"):format(name, value)
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

local function read_head(socket)
  local line, failure = socket:receive "*l"
  if not line then
    return nil, failure
  end
  local status, reason = line:match "^HTTP/1%.%d (%d%d%d) ?(.*)$"
  if not status then
    return nil, ("not an answer in HTTP/1: %s"):format(line)
  end
  local answer = { status = tonumber(status), reason = reason, headers = {} }
  while true do
    line, failure = socket:receive "*l"
    if not line then
      return nil, failure
    elseif line == "" then
      return answer
    end
    local name, value = line:match "^([^:%s]+):%s*(.-)%s*$"
    if not name then
      return nil, ("not a header field: %s"):format(line)
    end
    name = name:lower()
    answer.headers[name] = answer.headers[name] and answer.headers[name] .. ", " .. value or value
  end
end

local function read_chunks(socket)
  local pieces = {}
  while true do
    local line, failure = socket:receive "*l"
    local size = line and tonumber(line:match "^%x+", 16)
    if not size or size > LARGEST then
      return nil, failure or ("not the size of a chunk: %s"):format(line)
    elseif size == 0 then
      while true do
        line, failure = socket:receive "*l"
        if not line or line == "" then
          return line and table.concat(pieces), failure
        end
      end
    end
    local piece
    piece, failure = socket:receive(size)
    if not piece or socket:receive "*l" == nil then
      return nil, failure or "closed"
    end
    pieces[#pieces + 1] = piece
  end
end

local function read_body(socket, answer, method)
  local headers = answer.headers
  if method == "HEAD" or answer.status == 204 or answer.status == 304 then
    return ""
  elseif (headers["transfer-encoding"] or ""):lower():find "chunked" then
    return read_chunks(socket)
  elseif headers["content-length"] then
    local size = tonumber(headers["content-length"])
    if not size or size > LARGEST then
      return nil, "not a length: " .. headers["content-length"]
    end
    return socket:receive(size)
  end
  return socket:receive "*a"
end

---Sends the request and reads the final answer (those that come before it are left out). nil and an error.
function http.request(socket, target, options)
  local sent, failure = socket:send(encode(target, options))
  if not sent then
    return nil, failure
  end
  local answer
  repeat
    answer, failure = read_head(socket)
    if not answer then
      return nil, failure
    end
  until answer.status >= 200 or answer.status == 101
  if answer.status == 101 then
    answer.body = ""
    return answer
  end
  answer.body, failure = read_body(socket, answer, options.method)
  if not answer.body then
    return nil, failure
  end
  return answer
end

return http
