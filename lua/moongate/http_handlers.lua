-- SPDX-License-Identifier: MIT
--
-- Ready socket handlers that speak HTTP. How HTTP is read and written belongs to moongate.http_server.

local http_answer = require "moongate.http_answer"
local http_server = require "moongate.http_server"

local http_handlers = {}

local KNOWN = { status = true, headers = true, body = true }

-- Raises, with the level of the caller's caller, what is wrong with the table.
local function check(response)
  if type(response) ~= "table" then
    error("http_response: not a table { status =, headers =, body = } but " .. type(response), 3)
  end
  for name in pairs(response) do
    if not KNOWN[name] then
      error(("http_response: %s is no field of it; there are status, headers and body"):format(tostring(name)), 3)
    end
  end
  local body = response.body
  local fine, fault = pcall(http_answer.check, {
    status = response.status,
    headers = response.headers,
    body = type(body) ~= "function" and body or nil,
  })
  if not fine then
    error("http_response: " .. fault, 3)
  end
end

--- A socket handler that answers every request alike: `{ status = 200, headers = {}, body = "" }`. The body may be a
--- function of the request and the context that returns a string.
function http_handlers.http_response(response)
  check(response)
  local body = response.body
  return function(socket, context)
    http_server.serve(socket, function(request)
      if type(body) ~= "function" then
        return response
      end
      return { status = response.status, headers = response.headers, body = body(request, context) }
    end)
  end
end

--- A socket handler that calls fn(request, response, context) for each HTTP request. The response begins as
--- { status = 200, headers = {} }; fn fills it, and what it returns, a string, is its body. Returning a table answers
--- with that instead.
function http_handlers.http(fn)
  if type(fn) ~= "function" then
    error("handlers.http takes a function(request, response, context)", 3)
  end
  return function(socket, context)
    http_server.serve(socket, fn, { fills = true, context = context })
  end
end

return http_handlers
