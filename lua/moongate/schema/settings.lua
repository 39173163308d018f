-- SPDX-License-Identifier: MIT
--
-- The types of the schema that only the config has: addresses to listen on, name servers, names of this machine.

local literal = require("moongate.schema.literal")

local settings = {}

local function split(value)
  local host, port = value:match("^%[([^%]]+)%]:(%d+)$")
  if not host then
    host, port = value:match("^([^:]+):(%d+)$")
  end
  port = tonumber(port)
  return host, port and port <= 65535 and port or nil
end

-- "127.0.0.1:9090", or false.
function settings.listen(check, value)
  if value == false then
    return false
  end
  local host, port = nil, nil
  if type(value) == "string" then
    host, port = split(value)
  end
  if not port or not (literal.is_ipv4(host) or literal.is_ipv6(host)) then
    check:expected('"address:port" such as "127.0.0.1:9090" or "[::1]:9090", or false', value)
    return nil
  end
  return value
end

function settings.nameserver(check, value)
  if type(value) == "string" then
    local host, port = split(value)
    host = port and host or value
    if literal.is_ipv4(host) or (literal.is_ipv6(host) and not host:find("%", 1, true)) then
      return value
    end
  end
  check:expected('an address such as "192.0.2.1", "192.0.2.1:53" or "[2001:db8::1]:53"', value)
end

-- A name as it stands in Host, without its port: "admin.example.com", in lower case.
function settings.host_name(check, value)
  local name = type(value) == "string" and value:lower():gsub("%.$", "")
  if name and #name <= 253 and name:find("^[%w_][%w_.-]*$") and not name:find("..", 1, true) then
    return name
  end
  local hint = type(value) == "string" and value:match("^%a[%w+.-]*://([%w_.-]+)") or nil
  hint = hint or (type(value) == "string" and value:match("^([%w_.-]+):%d+$"))
  check:expected('a name such as "admin.example.com"', value, hint and ('without the rest: "%s"'):format(hint))
end

return settings
