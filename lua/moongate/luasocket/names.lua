-- SPDX-License-Identifier: MIT
--
-- Names of hosts and services, as LuaSocket asks the system for them (getaddrinfo(3)), by moongate's resolver.

local _, core = ...
local moongate = require "moongate"

local names = { NONE = "host or service not provided, or not known" }

local MOST = 253 -- RFC 1035, section 2.3.4

--- Whether it may be one at all.
function names.is_host(host)
  return host ~= "" and #host <= MOST and not host:find "[/%s]"
end

function names.family(address)
  return address:find(":", 1, true) and "inet6" or "inet"
end

--- A list of { addr =, family = }, of one family where that is told.
function names.addresses(host, family)
  if not names.is_host(host) then
    return nil, names.NONE
  end
  local addresses, err = moongate.resolve(host)
  if not addresses then
    return nil, err
  end
  local list = {}
  for _, address in ipairs(addresses) do
    local own = names.family(address)
    if not family or own == family then
      list[#list + 1] = { addr = address, family = own }
    end
  end
  if #list == 0 then
    return nil, "Address family for hostname not supported"
  end
  return list
end

--- The port of a number's text or of a service's name.
function names.port(service)
  local number = service:match "^%d*$" and tonumber("0" .. service) or core.service(service)
  if not number or number > 65535 then
    return nil, "service not supported for socket type"
  end
  return number
end

return names
