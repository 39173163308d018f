-- SPDX-License-Identifier: MIT
--
-- HTTP/1.x on a Lua socket: reads requests one after another, asks a function for each answer, and writes it. It owns
-- framing, keep-alive, limits and timeouts; what is answered belongs to its caller, the form of it to
-- moongate.http_answer.

local http_answer = require "moongate.http_answer"
local http_parser = require "moongate.http_parser"

local encode, date_header = http_answer.encode, http_answer.date_header
local byte, find, sub, gsub = string.byte, string.find, string.sub, string.gsub
local error, pairs, rawget, rawset = error, pairs, rawget, rawset
local setmetatable, type, xpcall = setmetatable, type, xpcall

local http_server = {}

local PIECE = 16 * 1024
local HEAD, COMPLETE, ERROR = 1, 3, 4 -- events of an exchange: enum http_event
local LINGER_SECONDS, LINGER_BYTES = 2, 1024 * 1024

local DEFAULTS = {
  max_head = 16 * 1024,
  max_body = 1024 * 1024,
  head_timeout = 10, -- from the first byte of a request (of a connection, for its first) to the end of its head
  body_timeout = 60, -- from there to the end of its body
  idle_timeout = 60, -- between two requests
  send_timeout = 60, -- for each answer
  date = true, -- whether answers carry a Date
}

local Session = {}
Session.__index = Session

-- Most waits are as long as the one before.
function Session:set_timeout(seconds)
  if self.timeout ~= seconds then
    self.timeout = seconds
    self.socket:settimeout(seconds)
  end
end

-- Bytes, or nil and "closed" or "timeout".
function Session:receive(deadline)
  local left = deadline - self.now()
  if left <= 0 then
    return nil, "timeout"
  end
  self:set_timeout(left)
  return self.socket:receiveany(PIECE)
end

-- The line of the Date; nil: answers carry none.
function Session:date()
  return self.options.date and date_header(self.now())
end

function Session:send(text)
  self:set_timeout(self.options.send_timeout)
  return self.socket:send(text)
end

local SLASH = byte("/")

local function split_target(target)
  local mark = find(target, "?", 1, true)
  local path = mark and sub(target, 1, mark - 1) or target
  if byte(path) ~= SLASH then
    path = gsub(path, "^%a[%w+.-]*://[^/]*", "")
  end
  return path ~= "" and path or "/", mark and sub(target, mark + 1) or nil
end

-- The parser's own fields, which nobody else needs once the message is complete, and what they mean.
local function make_request(parser)
  local request = parser:fields()
  request.path, request.query = split_target(request.target)
  if request.chunked then
    request.length = nil
  end
  return request
end

-- A request that was taken has its head as text, whose headers are decoded when they are asked for.
local Request = {}

function Request.__index(request, name)
  if name == "headers" then
    local headers = http_parser.headers(rawget(request, "head") or "")
    rawset(request, "headers", headers)
    return headers
  end
end

-- Begins with a value for every field: only so does the table have room for all of them from the start.
local function take_request(method, target, path, query, version, keep_alive, length, head, body)
  local request = {
    method = "",
    target = "",
    path = "",
    version = "",
    keep_alive = false,
    length = 0,
    head = "",
    body = "",
  }
  request.method = method
  request.target = target
  request.path = path
  request.version = version
  request.keep_alive = keep_alive
  request.length = length
  request.head = head
  request.body = body
  if query then
    request.query = query
  end
  return setmetatable(request, Request)
end

-- What fn(request, response) gets to fill; with room for the body.
local function new_response()
  local response = { status = 200, headers = false, body = false }
  response.headers = {}
  response.body = nil
  return response
end

-- The request, when it has a body that on_head does not want to be read.
function Session:refused_at_head()
  local parser, on_head = self.parser, self.options.on_head
  local fields = on_head and parser:fields()
  if not on_head or not (fields.chunked or fields.length > 0) then
    return nil
  end
  local request = {}
  for name, value in pairs(fields) do
    request[name] = value
  end
  request.length = not fields.chunked and fields.length or nil
  request.path, request.query = split_target(request.target)
  request.refusal = on_head(request)
  return request.refusal and request
end

-- Gives the next read what is left of the time; false: nothing is. The first wait for a request has all of it, and
-- needs no clock.
function Session:arm(wait)
  if not wait.waited and not wait.deadline then
    wait.waited = true
    self:set_timeout(wait.limit)
    return true
  end
  local now = self.now()
  wait.deadline = wait.deadline or now + wait.limit
  if wait.deadline <= now then
    return false
  end
  self:set_timeout(wait.deadline - now)
  return true
end

-- What an event of receive() is to read_request().
function Session:told(event, failure)
  if not event then
    return nil, failure
  elseif event == ERROR then
    return "error", self.tell()
  elseif event == HEAD then
    self.tell()
    return "head"
  end
  return event == COMPLETE and "complete" or "more"
end

-- The parser's next event, with status and reason when it is "error"; or nil and "closed" or "timeout".
function Session:step(wait)
  local parser = self.parser
  if self.take then
    if not self:arm(wait) then
      return nil, "timeout"
    end
    return self:told(self.receive_event())
  end
  if self.wants_more and self.pending == "" then
    if not self:arm(wait) then
      return nil, "timeout"
    end
    local bytes, failure = self.socket:receiveany(PIECE)
    if not bytes then
      return nil, failure
    end
    self.pending = bytes
  end
  local consumed, event, status, reason = parser:feed(self.pending, not self.options.on_head)
  self.pending = consumed < #self.pending and sub(self.pending, consumed + 1) or ""
  self.wants_more = event == "more" or event == "complete"
  return event, status, reason
end

function Session:has_pending()
  if self.take then
    return self.has_ahead()
  end
  return self.pending ~= ""
end

-- The next request; or nil when the client has gone or stayed silent; or nil, status and reason. With `waited` the
-- first event has been waited for, and is given.
function Session:read_request(waited, event, status, reason)
  local options, parser, wait = self.options, self.parser, self.wait
  local begun = self.answered == 0
  wait.limit, wait.deadline, wait.waited = options.idle_timeout, nil, waited
  if begun then
    wait.limit, wait.deadline = options.head_timeout, self.now() + options.head_timeout
  end
  while true do
    if not waited then
      event, status, reason = self:step(wait)
    end
    waited = false
    if event == "complete" then
      return self.take and take_request(self.take()) or make_request(parser)
    elseif event == "error" then
      return nil, status, reason
    elseif not event then
      if status == "timeout" and not parser:is_idle() then
        return nil, 408, "the request did not come in time"
      end
      return nil
    elseif event == "head" then
      local request = self:refused_at_head()
      if request then
        return request
      end
      wait.limit, wait.deadline, wait.waited = options.body_timeout, nil, true
      local invites = parser:fields().expect_continue and not self:has_pending()
      if invites and not self:send("HTTP/1.1 100 Continue\r\n\r\n") then
        return nil
      end
    elseif not begun and not parser:is_idle() then
      begun = true
      wait.limit, wait.deadline, wait.waited = options.head_timeout, nil, true
    end
  end
end

-- What is still on its way in is read and dropped for a while: closing with unread input would reset the connection,
-- and the client would lose the answer.
function Session:linger()
  self.socket:shutdown "send"
  local deadline, size = self.now() + LINGER_SECONDS, #self.pending
  while size < LINGER_BYTES do
    local bytes = self:receive(deadline)
    if not bytes then
      return
    end
    size = size + #bytes
  end
end

function Session:refuse(status, reason)
  local response = self.options.on_refusal and self.options.on_refusal(status, reason)
    or { status = status, body = ("%d %s: %s\n"):format(status, http_answer.reason(status), reason) }
  if self:send(encode(response, nil, false, self:date())) then
    self:linger()
  end
end

local function traceback(message)
  return type(message) == "string" and debug.traceback(message, 2) or message
end

local function make_answer(self, request, response)
  local keep_alive = request.keep_alive
  if request.refusal or type(response) == "table" and response.close then
    keep_alive = false
  end
  return encode(response, request, keep_alive, self:date()), keep_alive
end

-- Answers with 500, then raises the message.
function Session:fail(request, message)
  if self:send(encode({ status = 500, body = "500 Internal Server Error\n" }, request, false, self:date())) then
    self:linger()
  end
  error(message, 0)
end

-- Whether the connection may go on.
function Session:answer(request, response)
  local done, text, keep_alive = xpcall(make_answer, traceback, self, request, response)
  if not done then
    self:fail(request, text)
  end
  return self:send(text) and keep_alive
end

-- Whether the connection may go on after the request, which was not refused. An error in on_request is answered with
-- 500, then raised again.
local function serve_request(self, request, on_request, context)
  local filled = self.fills and new_response()
  local done, response = xpcall(on_request, traceback, request, filled, context)
  if not done then
    self:fail(request, response)
  elseif filled and type(response) ~= "table" then
    if response ~= nil then
      filled.body = response
    end
    response = filled
  end
  if self.take then
    if self.timeout ~= self.send_timeout then
      self:set_timeout(self.send_timeout)
    end
    local sent = self.send_answer(response)
    if sent ~= false then
      return sent
    end
  end
  return self:answer(request, response)
end

-- On a real socket the next request mostly comes whole, and then this is all that it takes. Whether the connection may
-- go on; if so, with what came of the wait in which it did not come whole.
local function serve_whole(self, on_request, context)
  local receive_event, take, idle_timeout = self.receive_event, self.take, self.options.idle_timeout
  while true do
    if self.timeout ~= idle_timeout then
      self:set_timeout(idle_timeout)
    end
    local event, failure = receive_event()
    if event ~= COMPLETE then
      return true, event, failure
    end
    local goes_on = serve_request(self, take_request(take()), on_request, context)
    self.answered = self.answered + 1
    if not goes_on then
      return false
    end
  end
end

local function new_session(socket, options)
  local settings = {}
  for name, value in pairs(DEFAULTS) do
    settings[name] = value
  end
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  local session = setmetatable({
    socket = socket,
    options = settings,
    parser = http_parser.new { max_head = settings.max_head, max_body = settings.max_body },
    now = settings.now or require("moongate").now,
    pending = "",
    wants_more = true,
    fills = settings.fills,
    send_timeout = settings.send_timeout,
    wait = {},
    answered = 0,
  }, Session)
  if type(socket) == "userdata" then
    session.receive_event, session.take, session.send_answer, session.tell, session.has_ahead =
      http_parser.exchange(session.parser, socket, http_answer.STATUS_LINES, settings.date, not settings.on_head)
  end
  return session, settings
end

--- Answers HTTP requests on a connected socket until the client ends, or something goes wrong; closing the socket is
--- the caller's. `on_request(request)` gets { method, target, path, query, version, headers, body, length,
--- keep_alive }: `headers` is a list of { name =, value = } that also maps names in lower case to values (on a real
--- socket decoded when it is asked for first, from `head`, the head as text), `length` what the head says of the body
--- (nil: it is chunked). It returns
--- { status = 200, headers = { [name] = value or list }, body = string, close = bool }.
--- `options`: see DEFAULTS at the top; `now`: a clock in seconds, for specs; `on_head(request)`: asked before a body
--- is read; a response that it returns is sent at once, and the connection closed; `on_refusal(status, reason)`: the
--- response to what is no request, or too large for one; `fills`: it is
--- on_request(request, response, context) with a response to fill, whose body it may return instead of a table, and the
--- option `context`. Returns how many requests were answered.
function http_server.serve(socket, on_request, options)
  local session, settings = new_session(socket, options)
  local context, whole = settings.context, session.take and not settings.on_head
  local waited, event, failure = false, nil, nil
  while true do
    local request, status, reason
    if waited then
      request, status, reason = session:read_request(true, session:told(event, failure))
    else
      request, status, reason = session:read_request()
    end
    if not request then
      if status then
        session:refuse(status, reason)
      end
      return session.answered
    end
    local refusal = settings.on_head and request.refusal
    local goes_on
    if refusal then
      goes_on = session:answer(request, refusal)
    else
      goes_on = serve_request(session, request, on_request, context)
    end
    session.answered = session.answered + 1
    if goes_on and whole then
      waited, event, failure = serve_whole(session, on_request, context)
      goes_on = waited
    end
    if not goes_on then
      if session:has_pending() or refusal then
        session:linger()
      end
      return session.answered
    end
  end
end

return http_server
