-- SPDX-License-Identifier: MIT
--
-- The types of the schema for who may connect and how quiet connections are treated: lists of addresses, keep_alive,
-- and the PROXY protocol that is sent.

local literal = require("moongate.schema.literal")
local mark = require("moongate.schema.mark")
local text = require("moongate.text")

local access = {}

local function is_plain_table(value)
  return type(value) == "table" and not mark.kind(value)
end

-- One of a list of addresses. Descriptors: trusted (said of peers that are believed).
function access.ip_pattern(check, value, descriptor)
  if type(value) ~= "string" or value == "" or value:find("%z") then
    check:expected('an address, a network or a glob ("10.0.0.0/8", "192.168.1.*")', value)
    return nil
  elseif value:match("^[%w_%-]+%.?[%w_.%-]*$") and not value:match("^[%d.]+$") and not value:match("^[%x:]+$") then
    check:expected("an address", value, "names are not looked up here: write the address or the network")
    return nil
  end
  local problem = literal.pattern_problem(value)
  if problem then
    check:expected("an address, a network or a glob", value, problem)
    return nil
  end
  if descriptor.trusted and (value:match("/0+$") or value:match("^[*.]+$")) then
    check:warn("%s trusts everybody: whoever connects may claim to be anybody", check.show(value))
  end
  return value
end

local TREATMENTS = { "standard", "extended", "immortal" }

-- `others` are the other forms that could stand there.
local function treatment(check, value, others)
  for _, known in ipairs(TREATMENTS) do
    if value == known then
      return value
    end
  end
  local near = type(value) == "string" and text.nearest(value, TREATMENTS)
  check:expected(
    '"standard", "extended"' .. (others and ', "immortal"' .. others or ' or "immortal"'),
    value,
    near and ('did you mean "%s"?'):format(near)
  )
end

local KEEP_ALIVE = { fields = { treatment = {}, multiplier = {} } }
local MULTIPLIER = { type = "integer", min = 1, max = 1000 }

-- { treatment =, multiplier =, keep_alive_function = slot }. Descriptors: inherited (the same, for what is left out).
function access.keep_alive(check, value, descriptor)
  local inherited = descriptor.inherited or { treatment = "standard", multiplier = 6 }
  local normal = { treatment = inherited.treatment, multiplier = inherited.multiplier }
  if mark.kind(value) == "function" and not descriptor.plain then
    normal.keep_alive_function = check:slot()
  elseif is_plain_table(value) then
    value = check:straighten(value, KEEP_ALIVE)
    if value.treatment ~= nil then
      check.path[#check.path + 1] = "treatment"
      normal.treatment = treatment(check, value.treatment)
      check.path[#check.path] = nil
    end
    if value.multiplier ~= nil then
      normal.multiplier = check:at("multiplier", MULTIPLIER, value.multiplier)
    end
  else
    local table_form = "{ treatment =, multiplier = }"
    normal.treatment =
      treatment(check, value, descriptor.plain and " or " .. table_form or ", " .. table_form .. " or a function")
  end
  return normal.treatment and normal.multiplier and normal or nil
end

local MAX_TLVS = 2048
local PROXY_SEND = { fields = { version = {}, tlvs = {} } }

-- The TLVs of { [0xEA] = "…" } as they go over the wire, by type.
local function write_tlvs(check, tlvs)
  local types, parts, size, before = {}, {}, 0, #check.faults
  for key, value in pairs(tlvs) do
    if type(key) ~= "number" or key ~= math.floor(key) or key < 0 or key > 255 then
      check:fault("has the key %s: expected a TLV's type from 0 to 0xFF", check.show(key))
    elseif key == 3 then
      check:fault("can't set type 0x03, the checksum of the header")
    elseif type(value) ~= "string" then
      check:fault("type 0x%02X: expected a string, got %s", key, check.show(value))
    else
      types[#types + 1] = key
      size = size + 3 + #value
    end
  end
  if size > MAX_TLVS then
    check:fault("are %d bytes: at most %d", size, MAX_TLVS)
  end
  if #check.faults > before then
    return nil
  end
  table.sort(types)
  for i, kind in ipairs(types) do
    local value = tlvs[kind]
    parts[i] = string.char(kind, math.floor(#value / 256), #value % 256) .. value
  end
  return table.concat(parts)
end

-- { version = 0 (none), 1 or 2, tlvs = bytes }
function access.proxy_send(check, value, descriptor)
  if value == true then
    return { version = 1, tlvs = "" }
  elseif value == false then
    return { version = 0, tlvs = "" }
  elseif value == 1 or value == 2 then
    return { version = value, tlvs = "" }
  elseif not is_plain_table(value) or descriptor.plain then
    local words = "false, true, 1 or 2"
    check:expected(descriptor.plain and words or "false, true, 1, 2 or { version = 2, tlvs = … }", value)
    return nil
  end
  value = check:straighten(value, PROXY_SEND)
  local version, tlvs = value.version == nil and 2 or value.version, value.tlvs
  if version ~= 1 and version ~= 2 then
    check.path[#check.path + 1] = "version"
    check:expected("1 or 2", version)
    check.path[#check.path], version = nil, nil
  end
  check.path[#check.path + 1] = "tlvs"
  local bytes = ""
  if tlvs ~= nil and not is_plain_table(tlvs) then
    check:expected('a table such as { [0xEA] = "…" }', tlvs)
    bytes = nil
  elseif tlvs ~= nil and version == 1 then
    check:fault("have no place in version 1: set version = 2")
    bytes = nil
  elseif tlvs ~= nil then
    bytes = write_tlvs(check, tlvs)
  end
  check.path[#check.path] = nil
  return bytes and version and { version = version, tlvs = bytes } or nil
end

-- "auto", "must" or "never".
function access.proxy_accept(check, value)
  if value == true then
    return "must"
  elseif value == false then
    return "never"
  elseif value == "auto" then
    return "auto"
  end
  check:expected('"auto", true or false', value)
end

return access
