-- SPDX-License-Identifier: MIT
--
-- Literal IP addresses, as inet_pton(3) reads them: four decimal numbers, or RFC 4291, section 2.2, with a zone
-- (RFC 4007) where one may stand; and networks and globs of them, as net/ip_set takes them. That both take the same is
-- seen to by ctests/loading/test_load_addresses.c.

local literal = {}

---@param text string
---@return boolean
function literal.is_ipv4(text)
  local numbers = { text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$") }
  for _, number in ipairs(numbers) do
    if #number > 3 or tonumber(number) > 255 or number:match("^0%d") then
      return false
    end
  end
  return #numbers == 4
end

-- How many groups of 16 bits stand in a part without "::"; nil: it is none. IPv4 may stand in the end.
local function count_groups(part)
  if part == "" then
    return 0
  end
  local count = 0
  for group, rest in (part .. ":"):gmatch("([^:]*):()") do
    if group:match("^%x%x?%x?%x?$") then
      count = count + 1
    elseif rest > #part and literal.is_ipv4(group) then
      count = count + 2
    else
      return nil
    end
  end
  return count
end

---@param text string without brackets
---@return boolean
function literal.is_ipv6(text)
  local address, zone = text:match("^([^%%]*)%%?(.*)$")
  if not zone:match("^[%w_.%-]*$") or (zone == "") ~= not text:find("%", 1, true) then
    return false
  end
  local before, after = address:match("^(.-)::(.*)$")
  if not before then
    return count_groups(address) == 8
  elseif before:find("%.") then
    return false
  end
  local left, right = count_groups(before), count_groups(after)
  return left ~= nil and right ~= nil and left + right < 8
end

---The address without its brackets, when a socket can be bound to it.
---@param text string
---@return string|nil
function literal.bindable(text)
  local bare = text:match("^%[(.*)%]$")
  if bare then
    return literal.is_ipv6(bare) and bare or nil
  end
  return (literal.is_ipv4(text) or literal.is_ipv6(text)) and text or nil
end

local function problem_of_network(host, bits)
  local is_ipv4 = not host:find(":", 1, true)
  local most = is_ipv4 and 32 or 128
  if not (bits:find("^%d%d?%d?$") and tonumber(bits) <= most) then
    return ("the prefix of an IPv%d address is 0 to %d"):format(is_ipv4 and 4 or 6, most)
  elseif not literal.is_ipv4(host) and (host:find("%", 1, true) or not literal.is_ipv6(host)) then
    return "before the slash stands no IP address"
  end
end

local function problem_of_ipv4_glob(text)
  local parts, open = 0, text:find("*", 1, true)
  for part in (text .. "."):gmatch("([^.]*)%.") do
    parts = parts + 1
    if part == "" then
      return "a part between the dots is empty"
    elseif part:find("^%d+$") and (#part > 3 or tonumber(part) > 255 or part:find("^0%d")) then
      return "the numbers between the dots are 0 to 255, without leading zeros"
    end
  end
  if parts > 4 then
    return "an IPv4 address has four parts"
  elseif parts < 4 and not open then
    return 'an IPv4 address has four parts; end it with ".*" to leave the rest open'
  end
end

local function problem_of_ipv6_glob(text)
  local groups, rest = 0, text
  while rest ~= "*" do
    rest = rest:match("^%x%x?%x?%x?:(.*)$")
    groups = groups + 1
    if not rest or groups > 7 then
      return 'a glob of IPv6 addresses is whole groups and ":*", as "2001:db8:*"; or write a CIDR'
    end
  end
end

local function problem_of_ipv4(text)
  if not text:find("^%d+%.%d+%.%d+%.%d+$") then
    return 'an IPv4 address has four numbers; a network is "10.0.0.0/24" or "10.0.0.*"'
  end
  for number in text:gmatch("%d+") do
    if #number > 3 or tonumber(number) > 255 then
      return "the numbers of an IPv4 address are 0 to 255"
    end
  end
  return "the numbers of an IPv4 address have no leading zeros"
end

---What is wrong with an address, a network or a glob.
---@param text string
---@return string|nil problem
function literal.pattern_problem(text)
  local host, bits = text:match("^([^/]*)/(.*)$")
  if text == "*" or literal.is_ipv4(text) then
    return nil
  elseif host then
    return problem_of_network(host, bits)
  elseif text:find("^[%d.*?]+$") and text:find("[*?]") then
    return problem_of_ipv4_glob(text)
  elseif text:find("[*?]") and text:find(":", 1, true) then
    return problem_of_ipv6_glob(text)
  elseif text:find("[*?]") then
    return 'a glob has digits, dots, "*" and "?", as "192.168.*" or "10.?.?.1"'
  elseif text:find("^[%d.]+$") then
    return problem_of_ipv4(text)
  elseif text:find("%", 1, true) or not literal.is_ipv6(text) then
    return 'write an address, a network such as "10.0.0.0/8" or a glob such as "192.168.*"'
  end
end

---How to write "::1:80", or an IPv6 address alone, with a port: what a target with colons means. nil: neither.
---@param text string
---@return string|nil
function literal.bracketed(text)
  local address, port = text:match("^(.*[^:]):(%d%d+)$")
  if not address then
    address, port = text:match("^(.*::):(%d%d+)$")
  end
  if address and tonumber(port) <= 65535 and literal.is_ipv6(address) then
    return ("[%s]:%s"):format(address, port)
  end
  return literal.is_ipv6(text) and ("[%s]:80"):format(text) or nil
end

return literal
