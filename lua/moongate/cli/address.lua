-- SPDX-License-Identifier: MIT
--
-- What people write for "a connection to there": a URL, host:port, a port alone, an address in brackets.

local address = {}

local DEFAULT_PORTS = { http = 80, https = 443, ws = 80, wss = 443 }
local TLS = { http = false, https = true, ws = false, wss = true }

local function is_ip(host)
  return host:find(":", 1, true) ~= nil or host:match("^%d+%.%d+%.%d+%.%d+$") ~= nil
end

local function read_port(word)
  local port = tonumber(word:match("^%d+$"))
  if not port or port < 1 or port > 65535 then
    return nil, ("expected a port from 1 to 65535, got '%s'"):format(word)
  end
  return port
end

-- Host and port of "host", "host:port", ":port", "[::1]:port", "::1"; or nil and what is wrong.
local function split(authority)
  local host, port = authority:match("^%[([%x:.]+)%](.*)$")
  if host then
    if port ~= "" and port:sub(1, 1) ~= ":" then
      return nil, ("expected a port behind ']', got '%s'"):format(port)
    end
    port = port:sub(2)
  elseif select(2, authority:gsub(":", "")) > 1 then
    host, port = authority, ""
  else
    host, port = authority:match("^([^:]*):?(.*)$")
  end
  if port == "" then
    return host, nil
  end
  local number, wrong = read_port(port)
  if not number then
    return nil, wrong
  end
  return host, number
end

---The id of a connection, "3-17", as the log and `moongate conns` have it?
---@param word string
---@return boolean
function address.is_connection(word)
  return word:find("^%d+%-%d+$") ~= nil
end

---What a connection to there would bring: port, domain (never an IP address: those are no server names, but an
---address that it comes in on), tls (nil: not said), path; or nil and what is wrong.
---@param word string
---@return table?
---@return string?
function address.parse(word)
  local scheme, rest = word:match("^(%a[%w+.%-]*)://(.*)$")
  local authority, path = (rest or word):match("^([^/?#]*)(.*)$")
  authority = authority:gsub("^.*@", "")
  scheme = scheme and scheme:lower()
  if authority:find("^%d+$") then
    authority = ":" .. authority
  end
  local host, port = split(authority)
  if not host then
    return nil, port
  elseif host == "" and not port then
    return nil, ("'%s' names neither a host nor a port"):format(word)
  elseif host:find("[%s%c]") then
    return nil, ("'%s' is no host"):format(host)
  end
  return {
    port = port or DEFAULT_PORTS[scheme],
    domain = host ~= "" and not is_ip(host) and host or nil,
    address = host ~= "" and is_ip(host) and host or nil,
    tls = TLS[scheme],
    path = path ~= "" and path ~= "/" and path or nil,
  }
end

return address
