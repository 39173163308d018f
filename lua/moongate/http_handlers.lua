-- SPDX-License-Identifier: MIT
--
-- Ready socket handlers that speak HTTP. How HTTP is read and written belongs to moongate.http_server.

local http_answer = require "moongate.http_answer"
local http_server = require "moongate.http_server"
local template = require "moongate.template"

local http_handlers = {}

local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
local NO_HOST = { status = 400, body = "400 Bad Request: the request names no host\n", close = true }

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

--- A socket handler that answers every request with a status and a message, and closes the connection.
function http_handlers.http_block(status, message)
  status = status == nil and 403 or status
  if type(status) ~= "number" or status % 1 ~= 0 or status < 400 or status > 599 then
    error(("http_block: status is %s, not a number from 400 to 599"):format(tostring(status)), 3)
  elseif message ~= nil and type(message) ~= "string" then
    error("http_block: message is not a string but " .. type(message), 3)
  end
  local body = message or ("%d %s\n"):format(status, http_answer.reason(status))
  local response = { status = status, body = body, close = true }
  return function(socket)
    http_server.serve(socket, function()
      return response
    end)
  end
end

-- The host that is asked for, in lower case and without its port; nil: none, or none that can stand in a URL.
local function host_of(request)
  local host = request.target:match("^%a[%w+.-]*://([^/?#]*)") or request.headers.host or ""
  host = host:lower():gsub(":%d*$", "")
  if host:match("^[%w_.-]+$") or host:match("^%[[%x:.]+%]$") then
    return host
  end
end

local function quote(byte)
  return ("%%%02X"):format(byte:byte())
end

-- A part of a URL as the client has sent it, which no header would be broken by.
local function in_url(part)
  return (part:gsub("[^\33-\126]", quote))
end

-- What a variable of a redirect stands for, "" when there is nothing. A path has one slash at its start, as two would
-- begin the name of another host.
local function value_of(name, request, context, host)
  if name == "domain" then
    return host
  elseif name == "path" then
    return in_url((request.path:gsub("^//+", "/")))
  elseif name == "query" then
    return in_url(request.query or "")
  end
  return context[name]
end

local function location_of(redirect, request, context)
  local host = redirect.needs_host and (context.domain or host_of(request))
  if redirect.needs_host and not host then
    return nil
  end
  local location = template.expand(redirect.parts, function(name)
    return value_of(name, request, context, host)
  end)
  local query = request.query
  if query and redirect.takes_query then
    location = location .. "?" .. in_url(query)
  elseif not query and redirect.has_query then
    location = location:gsub("%?$", "")
  end
  return location
end

-- The compiled template of a redirect; raises what is wrong with it.
local function compile_redirect(source)
  if type(source) ~= "string" or source == "" then
    error('http_redirect needs where to, such as "https://{domain}{path}"', 4)
  elseif source:find("[%c\127-\255 ]") then
    error("http_redirect: a URL has no spaces, control characters or other letters than ASCII's: write them as %20", 4)
  end
  local fine, parts = pcall(template.compile, source)
  if not fine then
    error("http_redirect: " .. parts, 4)
  end
  return {
    parts = parts,
    needs_host = template.has(parts, "domain"),
    has_query = source:sub(-8) == "?{query}",
    takes_query = source:sub(-6) == "{path}" and not source:find("?", 1, true),
  }
end

--- A socket handler that redirects every request: `template` is a URL with the variables of a context in it, such as
--- "https://{domain}{path}". One that ends with {path} takes the query along.
function http_handlers.http_redirect(source, status)
  local redirect = compile_redirect(source)
  status = status == nil and 301 or status
  if not REDIRECTS[status] then
    error(("http_redirect: status is %s, not 301, 302, 303, 307 or 308"):format(tostring(status)), 3)
  end
  return function(socket, context)
    http_server.serve(socket, function(request)
      local location = location_of(redirect, request, context)
      if not location then
        return NO_HOST
      end
      local body = ("%d %s: %s\n"):format(status, http_answer.reason(status), location)
      return { status = status, headers = { Location = location }, body = body }
    end)
  end
end

return http_handlers
