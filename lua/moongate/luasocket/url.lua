-- SPDX-License-Identifier: MIT
--
-- require "socket.url": LuaSocket's own url.lua, but for what RFC 3986 has otherwise. Only the path has dots to remove
-- (section 5.2.2), and a query or a fragment ends the authority (section 3.2), also where there is no path: what
-- "http://example.net?@other.test/" leads to is example.net.

local _, core = ...
local url = core.search "socket.url" "socket.url"

local parse, absolute, build = url.parse, url.absolute, url.build

-- What stands before the query and the fragment, and those, nil for one that is not there.
local function split(text)
  local before, fragment = string.match(text, "^([^#]*)#(.*)$")
  before = before or text
  local rest, query = string.match(before, "^([^?]*)%?(.*)$")
  return rest or before, query, fragment
end

local function join(text, query, fragment)
  return text .. (query and "?" .. query or "") .. (fragment and "#" .. fragment or "")
end

function url.parse(text, default)
  local rest, query, fragment = split(text or "")
  local parsed, err = parse(rest, default)
  if not parsed then
    if not (query or fragment) then
      return nil, err
    end
    parsed = {}
    for name, value in pairs(default or {}) do
      parsed[name] = value
    end
  end
  parsed.query, parsed.fragment = query or parsed.query, fragment or parsed.fragment
  return parsed
end

function url.absolute(base, relative)
  local from, base_query = split(type(base) == "table" and build(base) or base or "")
  local to, query, fragment = split(relative or "")
  if to == "" then
    return join(from, query or base_query, fragment)
  end
  if to:find "^;" then
    to = "./" .. to -- parameters are a part of the path's last segment
  end
  return join(absolute(from, to), query, fragment)
end

return url
