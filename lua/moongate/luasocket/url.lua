-- SPDX-License-Identifier: MIT
--
-- require "socket.url": parsing, building and resolving URLs (RFC 3986), with LuaSocket's names.

local socket = require "socket"

local url = { _VERSION = "URL 1.0.3" }
socket.url = url

local function escape_byte(c)
  return ("%%%02x"):format(c:byte())
end

function url.escape(text)
  return (text:gsub("[^A-Za-z0-9_]", escape_byte))
end

function url.unescape(text)
  return (text:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

-- In a segment these stand for themselves (RFC 3986 section 3.3).
local function escape_segment(text)
  return (text:gsub("[^%w%-%._~!$&'()*+,;=:@]", escape_byte))
end

-- user:password@host:port
local function parse_authority(parsed, authority)
  local userinfo, rest = authority:match "^(.*)@(.*)$"
  parsed.userinfo = userinfo
  rest = rest or authority
  local host, port = rest:match "^(.-):([^:%]]*)$"
  parsed.port = port ~= "" and port or nil
  host = host or rest
  parsed.host = host ~= "" and (host:match "^%[(.*)%]$" or host) or nil
  if userinfo then
    local user, password = userinfo:match "^(.-):(.*)$"
    parsed.user, parsed.password = user or userinfo, password
  end
end

-- Its parts; `default` has those that it leaves out.
function url.parse(text, default)
  local parsed = {}
  for name, value in pairs(default or {}) do
    parsed[name] = value
  end
  if not text or text == "" then
    return nil, "invalid url"
  end
  local function take(pattern, name)
    local before, value, behind = text:match(pattern)
    if value then
      parsed[name] = value
      text = before .. (behind or "")
      return value
    end
  end
  take("^(.-)#(.*)$", "fragment")
  local scheme, rest = text:match "^(%a[%w+.%-]*):(.*)$"
  if scheme then
    parsed.scheme, text = scheme, rest
  end
  local authority, path = text:match "^//([^/?]*)(.*)$"
  if authority then
    parsed.authority, text = authority, path
  end
  take("^(.-)%?(.*)$", "query")
  take("^(.-);(.*)$", "params")
  if text ~= "" then
    parsed.path = text
  end
  if parsed.authority then
    parse_authority(parsed, parsed.authority)
  end
  return parsed
end

local function build_authority(parts)
  local host = parts.host
  if not host then
    return parts.authority
  end
  if host:find(":", 1, true) then
    host = "[" .. host .. "]"
  end
  local authority = parts.port and host .. ":" .. parts.port or host
  local userinfo = parts.userinfo
  if parts.user then
    userinfo = parts.password and parts.user .. ":" .. parts.password or parts.user
  end
  return userinfo and userinfo .. "@" .. authority or authority
end

function url.build(parts)
  local text = parts.path or ""
  local authority = build_authority(parts)
  if parts.params then
    text = text .. ";" .. parts.params
  end
  if parts.query then
    text = text .. "?" .. parts.query
  end
  if authority then
    if text ~= "" and not text:find "^[/?;]" then
      text = "/" .. text
    end
    text = "//" .. authority .. text
  end
  if parts.scheme then
    text = parts.scheme .. ":" .. text
  end
  return parts.fragment and text .. "#" .. parts.fragment or text
end

-- RFC 3986 section 5.2.4.
local function remove_dots(path)
  local output = {}
  local absolute = path:sub(1, 1) == "/"
  local last
  for segment in (absolute and path:sub(2) or path):gmatch "([^/]*)/?" do
    output[#output + 1] = segment
  end
  if path:sub(-1) ~= "/" and output[#output] == "" then
    output[#output] = nil -- gmatch's match behind the last segment
  end
  local kept = {}
  for i, segment in ipairs(output) do
    last = i == #output
    if segment == ".." then
      kept[#kept] = nil
      if last then
        kept[#kept + 1] = ""
      end
    elseif segment == "." then
      if last then
        kept[#kept + 1] = ""
      end
    else
      kept[#kept + 1] = segment
    end
  end
  return (absolute and "/" or "") .. table.concat(kept, "/")
end

local function merge_paths(base, relative)
  if relative:sub(1, 1) == "/" then
    return remove_dots(relative)
  end
  local directory = (base or ""):match "^(.*/)" or (base and "" or "/")
  return remove_dots(directory .. relative)
end

-- A reference as seen from a base (RFC 3986 section 5.2.2).
function url.absolute(base, relative)
  local from = type(base) == "table" and base or url.parse(base) or {}
  local text = type(base) == "table" and url.build(base) or base
  local to = url.parse(relative)
  if not from.scheme then
    return relative
  elseif not to then
    return text
  elseif to.scheme then
    return relative
  end
  to.scheme = from.scheme
  if not to.authority then
    to.authority = from.authority
    for _, name in ipairs { "host", "port", "userinfo", "user", "password" } do
      to[name] = from[name]
    end
    if not to.path then
      to.path = from.path
      if not to.params then
        to.params = from.params
        to.query = to.query or from.query
      end
    else
      to.path = merge_paths(from.path, to.path)
    end
  end
  return url.build(to)
end

function url.parse_path(path)
  local segments = {}
  path = path or ""
  for segment in path:gmatch "[^/]+" do
    segments[#segments + 1] = url.unescape(segment)
  end
  segments.is_absolute = path:sub(1, 1) == "/" and 1 or nil
  segments.is_directory = path:sub(-1) == "/" and 1 or nil
  return segments
end

function url.build_path(segments, unsafe)
  local list = {}
  for i, segment in ipairs(segments) do
    list[i] = unsafe and segment or escape_segment(segment)
  end
  local path = table.concat(list, "/")
  if segments.is_directory and #list > 0 then
    path = path .. "/"
  end
  return segments.is_absolute and "/" .. path or path
end

return url
