-- SPDX-License-Identifier: MIT
--
-- The types of the schema for what a route asks of a client beside its port: the names it may call (domains), where it
-- may come from, which TLS it may offer; and what the route itself does with TLS.

local access = require("moongate.schema.access")
local declare = require("moongate.schema.declare")
local mark = require("moongate.schema.mark")
local punycode = require("moongate.schema.punycode")

local clients = { types = {} }

local MAX_NAME = 253
local MAX_LABEL = 63
local DOMAIN = 'a domain such as "example.com" or "*.example.com"'

-- A list, of which each has a normal form of its own; a single value stands for a list of one. Never empty.
local function each(check, value, what, one)
  if type(value) ~= "table" or mark.kind(value) then
    local item = one(check, value)
    return item ~= nil and { item } or nil
  end
  local count, list = 0, {}
  for _ in pairs(value) do
    count = count + 1
  end
  if count ~= #value then
    check:fault("expected a list, got a table with other keys than 1, 2, 3 …")
    return nil
  elseif count == 0 then
    check:fault("is an empty list: leave it out for any, or name %s", what)
    return nil
  end
  if count > declare.ADDRESSES then
    check:fault("has %d members: at most %d", count, declare.ADDRESSES)
    return nil
  end
  for i, item in ipairs(value) do
    check.path[#check.path + 1] = i
    list[#list + 1] = one(check, item)
    check.path[#check.path] = nil
  end
  return list
end

-- What is wrong with the name, and a better one where there is one.
local function domain_problem(name)
  local host = name:match("^%a[%w+.-]*://([^/?#]*)")
  if host then
    return "it is a URL", host ~= "" and host
  elseif name:find("/", 1, true) then
    return "a path is not part of a domain", name:match("^([^/]+)/")
  elseif name:find("%s") then
    return "it has spaces in it", not name:match("^%s*(.-)%s*$"):find("%s") and name:match("^%s*(.-)%s*$")
  elseif name:find("[\128-\255]") then
    local ascii = punycode.name(name)
    return "names are compared in their ASCII form", ascii and #ascii <= MAX_NAME and ascii
  elseif name:find("[^%w%-_.*?]") then
    return ("it has %q in it"):format(name:match("[^%w%-_.*?]"))
  elseif #name > MAX_NAME then
    return ("it is longer than %d bytes"):format(MAX_NAME)
  elseif name:sub(1, 1) == "." and not name:find("..", 1, true) then
    return "it begins with a dot", #name > 1 and "*" .. name
  elseif name == "" or name:find("..", 1, true) then
    return name == "" and "it is empty" or "it has nothing between two dots"
  end
  for label in name:gmatch("[^.]+") do
    if #label > MAX_LABEL then
      return ("a part between dots has at most %d bytes"):format(MAX_LABEL)
    end
  end
end

-- Lower case, without a port and without a trailing dot.
local function domain(check, value)
  if type(value) ~= "string" then
    check:expected(DOMAIN, value)
    return nil
  end
  local name = value:gsub(":%d+$", "")
  if #name > 1 then
    name = name:gsub("%.$", "")
  end
  local problem, better = domain_problem(name)
  if problem then
    better = better and better:gsub(":%d+$", ""):lower()
    check:expected(DOMAIN, value, better and ('%s: write "%s"'):format(problem, better) or problem)
    return nil
  end
  return name:lower()
end

---A list of globs, each once.
function clients.types.domains(check, value)
  local list = each(check, value, "one", domain)
  local seen, once = {}, {}
  for _, name in ipairs(list or {}) do
    if not seen[name] then
      seen[name] = true
      once[#once + 1] = name
    end
  end
  return list and once
end

local CLIENT = {}

function clients.types.client_ips(check, value)
  return each(check, value, "one", function(_, item)
    return access.ip_pattern(check, item, CLIENT)
  end)
end

local VERSION_BITS = { ["1.0"] = 1, ["1.1"] = 2, ["1.2"] = 4, ["1.3"] = 8 } -- routing/route.h

local function version(check, value)
  if VERSION_BITS[value] then
    return VERSION_BITS[value]
  end
  local meant = type(value) == "number" and ("%.1f"):format(value)
    or type(value) == "string" and value:lower():match("^%s*tls%s*v?%s*(1[._]%d)%s*$")
  meant = meant and meant:gsub("_", ".")
  check:expected(
    '"1.0", "1.1", "1.2" or "1.3"',
    value,
    meant and VERSION_BITS[meant] and ('write "%s"'):format(meant) or nil
  )
end

---The versions as the sum of their bits.
function clients.types.tls_versions(check, value)
  local list = each(check, value, "one", version)
  local sum, seen = 0, {}
  for _, bit in ipairs(list or {}) do
    sum = sum + (seen[bit] and 0 or bit)
    seen[bit] = true
  end
  return list and sum
end

---{ mode = "passthrough" }; false (nothing of the defaults' either) is nil.
function clients.types.tls(check, value, descriptor)
  if value == false then
    return nil
  elseif type(value) ~= "table" or mark.kind(value) then
    check:expected("a table", value, 'write tls = { mode = "passthrough" }')
    return nil
  end
  return check:table(value, descriptor)
end

return clients
