-- SPDX-License-Identifier: MIT
--
-- Literal IP addresses, as inet_pton(3) reads them: four decimal numbers, or RFC 4291, section 2.2, with a zone
-- (RFC 4007) where one may stand.

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
