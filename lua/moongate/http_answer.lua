-- SPDX-License-Identifier: MIT
--
-- What an HTTP/1.x answer looks like: { status =, headers =, body = } checked, and written as bytes. Sending it is
-- moongate.http_server's.

local concat, sort, floor = table.concat, table.sort, math.floor
local format, lower = string.format, string.lower
local date_of = os.date
local error, ipairs, pairs, tostring, type = error, ipairs, pairs, tostring, type

local http_answer = {}

http_answer.STATUS_TEXT = {
  [200] = "OK", [201] = "Created", [202] = "Accepted", [204] = "No Content", [206] = "Partial Content",
  [301] = "Moved Permanently", [302] = "Found", [303] = "See Other", [304] = "Not Modified",
  [307] = "Temporary Redirect", [308] = "Permanent Redirect",
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [406] = "Not Acceptable", [408] = "Request Timeout", [409] = "Conflict",
  [410] = "Gone", [411] = "Length Required", [413] = "Content Too Large", [414] = "URI Too Long",
  [415] = "Unsupported Media Type", [421] = "Misdirected Request", [422] = "Unprocessable Content",
  [429] = "Too Many Requests", [431] = "Request Header Fields Too Large", [451] = "Unavailable For Legal Reasons",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
  [503] = "Service Unavailable", [504] = "Gateway Timeout", [505] = "HTTP Version Not Supported",
}

--- The words of a status, as the first line of an answer has them.
function http_answer.reason(status)
  return http_answer.STATUS_TEXT[status] or "Status"
end

-- Set from the answer itself, so that framing can't be broken by hand.
local OURS = { ["content-length"] = true, ["transfer-encoding"] = true, ["connection"] = true }

local function add_header(lines, name, value)
  if type(name) ~= "string" or not name:find "^[%w!#$%%&'*+%-.^_`|~]+$" then
    error(("response: %q is not the name of a header"):format(tostring(name)), 0)
  end
  if OURS[name:lower()] then
    error(("response: the header %s is set by the server; leave it out"):format(name), 0)
  end
  for _, text in ipairs(type(value) == "table" and value or { value }) do
    text = tostring(text)
    if text:find "[%c\127]" then
      error(("response: the header %s has a control character or a line end in its value"):format(name), 0)
    end
    lines[#lines + 1] = name .. ": " .. text
  end
end

--- What is wrong with a response is raised, without a place.
function http_answer.check(response)
  if type(response) ~= "table" then
    error("response: not a table { status =, headers =, body = } but " .. type(response), 0)
  end
  local status, headers, body = response.status, response.headers, response.body
  if status ~= nil and (type(status) ~= "number" or status % 1 ~= 0 or status < 200 or status > 599) then
    error(("response: status is %s, not a number from 200 to 599"):format(tostring(status)), 0)
  end
  if headers ~= nil and type(headers) ~= "table" then
    error("response: headers is not a table of names and values but " .. type(headers), 0)
  end
  if body ~= nil and type(body) ~= "string" then
    error("response: body is not a string but " .. type(body), 0)
  end
  for name, value in pairs(headers or {}) do
    if value then
      add_header({}, name, value)
    end
  end
end

local function sorted_names(headers)
  local names = {}
  for name, value in pairs(headers) do
    if value then
      names[#names + 1] = name
    end
  end
  sort(names)
  return names
end

local date_second, date_line = 0, nil

--- The line of the Date of the present second, which is the same for many answers.
function http_answer.date_header(now)
  if now < date_second or now >= date_second + 1 then
    date_second = floor(now)
    date_line = date_of("!Date: %a, %d %b %Y %H:%M:%S GMT", date_second)
  end
  return date_line
end

http_answer.STATUS_LINES = {} -- of the answers that have a body
for status, text in pairs(http_answer.STATUS_TEXT) do
  if status ~= 204 and status ~= 304 then
    http_answer.STATUS_LINES[status] = ("HTTP/1.1 %d %s\r\n"):format(status, text)
  end
end

--- The head and the body of a response as they go out. `request` is nil when there was none that could be understood,
--- `date` (the line) where none is wanted.
function http_answer.encode(response, request, keep_alive, date)
  http_answer.check(response)
  local status, headers, body = response.status or 200, response.headers or {}, response.body or ""
  local bodiless = status == 204 or status == 304
  local lines, given = { format("HTTP/1.1 %d %s", status, http_answer.reason(status)) }, {}
  for _, name in ipairs(sorted_names(headers)) do
    add_header(lines, name, headers[name])
    given[lower(name)] = true
  end
  if body ~= "" and not bodiless and not given["content-type"] then
    add_header(lines, "Content-Type", "text/plain; charset=utf-8")
  end
  if date and not given.date then
    lines[#lines + 1] = date
  end
  if not bodiless then
    lines[#lines + 1] = "Content-Length: " .. #body
  end
  if not keep_alive then
    lines[#lines + 1] = "Connection: close"
  elseif request.version == "1.0" then
    lines[#lines + 1] = "Connection: keep-alive"
  end
  local head = concat(lines, "\r\n") .. "\r\n\r\n"
  return bodiless and head or request and request.method == "HEAD" and head or head .. body
end

return http_answer
