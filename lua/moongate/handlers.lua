-- SPDX-License-Identifier: MIT
--
-- The ready socket handlers: each function here returns one, for a route's `handler`. Those that speak HTTP are in
-- moongate.http_handlers, and load when one of them is used.

local require, setmetatable, rawset, type, error, tostring = require, setmetatable, rawset, type, error, tostring
local getmetatable = getmetatable

local CHUNK = 64 * 1024

local handlers = {}

-- Raises when a function of this table has been given to a route as its handler, and so is called with a socket.
local function refuse_socket(first, call)
  if type(first) == "userdata" and getmetatable(first) == "moongate.socket" then
    local message = "%s makes a handler, and is called in the route file: handler = moongate.handlers.%s"
    error(message:format("moongate.handlers." .. call:match("^[%w_]+"), call), 0)
  end
end

--- Sends everything back.
function handlers.echo(...)
  refuse_socket((...), "echo()")
  return function(socket)
    repeat
      local data = socket:receiveany(CHUNK)
    until not data or not socket:send(data)
  end
end

--- Hands the client to native forwarding: handlers.proxy("127.0.0.1", 8080), or one target as a route has it.
function handlers.proxy(host, port)
  refuse_socket(host, 'proxy("127.0.0.1", 8080)')
  if type(host) ~= "string" and type(host) ~= "table" then
    error('handlers.proxy needs where to: (host, port), "host:port" or "unix:/path"', 2)
  end
  return function(_, context)
    context:forward(host, port)
  end
end

--- Sends the message, if there is one, and closes.
function handlers.block(message)
  refuse_socket(message, "block()")
  if message ~= nil and type(message) ~= "string" then
    error("handlers.block takes a message, a string", 2)
  end
  return function(socket)
    if message then
      socket:send(message)
    end
  end
end

--- Calls fn(line, socket, context) for each line that comes, without its line end. What fn returns is sent back as a
--- line (with CR LF behind it); nil sends nothing, and false ends the connection. A line may have 64 KiB; one that is
--- longer ends the connection.
function handlers.line(fn)
  refuse_socket(fn, "line(function(line, socket, context) … end)")
  if type(fn) ~= "function" then
    error("handlers.line takes a function(line, socket, context)", 2)
  end
  return function(socket, context)
    for line in socket:lines() do
      local answer = fn(line, socket, context)
      if answer == false then
        return
      end
      if answer ~= nil and not socket:send({ tostring(answer), "\r\n" }) then
        return
      end
    end
  end
end

-- Those in moongate.http_handlers, and how they are called.
local IN_HTTP = {
  http = "(function(request, response) … end)",
  http_block = '(403, "no")',
  http_redirect = '("https://{domain}{path}")',
  http_response = "({ status = 200, body = … })",
}
local NAMES = "block, echo, http, http_block, http_redirect, http_response, line, proxy"

return setmetatable(handlers, {
  __index = function(self, name)
    local call = IN_HTTP[name]
    if not call then
      error(("moongate.handlers.%s is not there: there are %s"):format(tostring(name), NAMES), 2)
    end
    local make = require("moongate.http_handlers")[name]
    local function handler(...)
      refuse_socket((...), name .. call)
      return make(...)
    end
    rawset(self, name, handler)
    return handler
  end,
})
