-- SPDX-License-Identifier: MIT
--
-- The types of the schema: what a user may write for each, and its normal form. Each is a function (check, value,
-- descriptor); it returns the normal form, or reports a fault and returns nil. A target is in schema/targets.lua.

local Check = require("moongate.schema.check")
local literal = require("moongate.schema.literal")
local mark = require("moongate.schema.mark")
local text = require("moongate.text")
local unicode = require("moongate.unicode")

local types = { table = Check.table }

local TEN_YEARS = 10 * 365 * 86400 * 1000

local function one_of(words)
  local quoted = {}
  for i, word in ipairs(words) do
    quoted[i] = ('"%s"'):format(word)
  end
  return table.concat(quoted, ", ", 1, #quoted - 1) .. (#quoted > 1 and " or " or "") .. quoted[#quoted]
end

local function contains(list, value)
  for _, item in ipairs(list or {}) do
    if item == value then
      return true
    end
  end
  return false
end

-- Whether `value` is a table whose keys are 1 to its length.
local function is_list(value)
  if type(value) ~= "table" or mark.kind(value) then
    return false
  end
  local count = 0
  for _ in pairs(value) do
    count = count + 1
  end
  return count == #value
end

function types.boolean(check, value)
  if type(value) ~= "boolean" then
    check:expected("true or false", value)
    return nil
  end
  return value
end

local function enum(check, value, descriptor)
  if contains(descriptor.enum, value) then
    return value
  elseif contains(descriptor.enum_later, value) then
    check:fault("%s is not supported in this version: use %s", check.show(value), one_of(descriptor.enum))
  else
    local near = type(value) == "string" and text.nearest(value, descriptor.enum)
    check:expected(one_of(descriptor.enum), value, near and ('did you mean "%s"?'):format(near))
  end
  return nil
end

-- Descriptors: enum, enum_later (known words of later versions), max (bytes), off (false is allowed, and stays).
function types.string(check, value, descriptor)
  if descriptor.off and value == false then
    return false
  end
  if type(value) ~= "string" and not descriptor.enum then
    check:expected("a string", value)
    return nil
  end
  if descriptor.enum then
    return enum(check, value, descriptor)
  end
  local max = descriptor.max or 4096
  if #value > max then
    check:fault("is longer than %d bytes", max)
  elseif value == "" and not descriptor.empty then
    check:fault("is empty%s", descriptor.off and " (false turns it off)" or "")
  elseif value:find "%z" or not descriptor.empty and unicode.has_controls(value) then
    check:fault("has control characters in it: %s", check.show(value))
  else
    return value
  end
  return nil
end

local function in_range(check, value, descriptor, show)
  if descriptor.min and value < descriptor.min and not (descriptor.off and value == 0) then
    local none = descriptor.off and descriptor.min > 0 and ", or 0 for none" or ""
    check:fault("%s is too small: at least %s%s", show(value), show(descriptor.min), none)
  elseif descriptor.max and value > descriptor.max then
    check:fault("%s is too large: at most %s", show(value), show(descriptor.max))
  else
    return value
  end
  return nil
end

-- Descriptors: min, max; words (strings that are allowed too); off (false means 0).
function types.integer(check, value, descriptor)
  if contains(descriptor.words, value) then
    return value
  elseif descriptor.off and value == false then
    return 0
  end
  if type(value) ~= "number" or value ~= math.floor(value) or math.abs(value) > 2 ^ 53 then
    check:expected("a whole number" .. (descriptor.words and " or " .. one_of(descriptor.words) or ""), value)
    return nil
  end
  return in_range(check, value, descriptor, text.show)
end

-- A user or a group of the system, as text: a name, or a number, which is 0 or more.
function types.account(check, value)
  if type(value) == "number" then
    local number = types.integer(check, value, { min = 0, max = 2 ^ 31 - 2 })
    return number and ("%d"):format(number)
  elseif type(value) ~= "string" then
    check:expected("a name or a number", value)
    return nil
  end
  return types.string(check, value, {})
end

local UNITS = { milliseconds = "ms", msec = "ms", seconds = "s", secs = "s", minutes = "m", mins = "m" }
UNITS.hours, UNITS.hrs, UNITS.days = "h", "h", "d"

-- "5m" for "5 minutes", "5s" for "5"; nil for what is not like that.
local function unit_written_out(value)
  local number, word = nil, nil
  if type(value) == "string" then
    number, word = value:match("^%s*(%d+%.?%d*)%s*(%a+)%s*$")
  end
  if type(value) == "string" and value:find("^%d+%.?%d*$") then
    return value .. "s"
  end
  local unit = word and (UNITS[word:lower()] or UNITS[word:lower() .. "s"])
  return unit and number .. unit
end

-- Milliseconds. Descriptors: min, max in milliseconds, off; false means 0 where that may be.
function types.duration(check, value, descriptor)
  if value == false and (descriptor.off or (descriptor.min or 0) == 0) then
    return 0
  end
  local ms = text.duration(value)
  if not ms then
    local meant = unit_written_out(value)
    check:expected(
      'a duration (a number of seconds, or "500ms", "90s", "5m", "4h", "30d")',
      value,
      meant and ('did you mean "%s"?'):format(meant)
    )
    return nil
  end
  return in_range(check, ms, {
    min = descriptor.min,
    max = descriptor.max or TEN_YEARS,
    off = descriptor.off,
  }, function(limit)
    return limit < 1000 and ("%dms"):format(limit) or text.format_duration(limit / 1000)
  end)
end

-- { plain, tls = … } or one for both: { plain =, tls = } in milliseconds. What is left out is the default's.
function types.duration_pair(check, value, descriptor)
  local default = descriptor.default
  if type(value) ~= "table" or mark.kind(value) then
    local ms = types.duration(check, value, {})
    return ms and { plain = ms, tls = ms }
  end
  local known = true
  for key in pairs(value) do
    if key ~= 1 and key ~= "tls" then
      known = false
      check:fault(
        'has the key %s: expected { duration, tls = duration }, such as { "30s", tls = "5m" }',
        check.show(key)
      )
    end
  end
  local part = { type = "duration" }
  local plain = check:at(1, part, value[1] == nil and default[1] or value[1])
  local tls = check:at("tls", part, value.tls == nil and default.tls or value.tls)
  return known and plain and tls and { plain = plain, tls = tls }
end

-- Bytes. Descriptors: min, max, off.
function types.size(check, value, descriptor)
  if descriptor.off and value == false then
    return 0
  end
  local bytes = text.size(value)
  if not bytes then
    check:expected('a size (a number of bytes, or "64k", "1m")', value)
    return nil
  end
  return in_range(check, bytes, { min = descriptor.min, max = descriptor.max, off = descriptor.off }, text.format_bytes)
end

-- Bytes a second.
function types.rate(check, value)
  local rate = text.rate(value)
  if not rate then
    check:expected('a rate ("10mbps" or "10gbps" in bits, or a number of bytes a second)', value)
  end
  return rate
end

-- { count, duration }: so many in a window; false or 0: none. { count =, window = ms }.
function types.count_in_window(check, value)
  if value == false or value == 0 then
    return { count = 0, window = 0 }
  end
  if not is_list(value) or #value ~= 2 then
    check:expected('{ count, duration } such as { 300, "60s" }, or false', value)
    return nil
  end
  local count = check:at(1, { type = "integer", min = 1 }, value[1])
  local window = check:at(2, { type = "duration", min = 1 }, value[2])
  return count and window and { count = count, window = window }
end

-- Descriptors: of (a descriptor), most (items). A single value stands for a list of one.
function types.list(check, value, descriptor)
  if type(value) ~= "table" or mark.kind(value) then
    local item = check:value(descriptor.of, value)
    return item ~= nil and { item } or nil
  end
  if not is_list(value) then
    check:fault("expected a list, got a table with other keys than 1, 2, 3 …")
    return nil
  end
  if descriptor.most and #value > descriptor.most then
    check:fault("has %d members: at most %d", #value, descriptor.most)
    return nil
  end
  local normal = {}
  for i, item in ipairs(value) do
    normal[#normal + 1] = check:at(i, descriptor.of, item)
  end
  return normal
end

types["function"] = function(check, value, descriptor)
  if mark.kind(value) ~= "function" then
    check:expected("a function", value, descriptor.hint)
    return nil
  end
  return check:slot()
end

local READY = { "block", "echo", "http", "http_block", "http_redirect", "http_response", "line", "proxy" }

-- A function, as moongate.handlers makes them.
function types.handler(check, value)
  local maker = mark.maker(value)
  if maker then
    check:fault(
      "is moongate.handlers.%s itself, which makes a handler: call it, handler = moongate.handlers.%s(%s)",
      maker,
      maker,
      maker == "echo" and "" or "…"
    )
    return nil
  end
  local hint = "write handler = function(socket, context) … end"
  local ready = type(value) == "string" and text.nearest(value, READY)
  if ready then
    hint = ready == "echo" and "write handler = moongate.handlers.echo()"
      or ("write handler = moongate.handlers.%s(…)"):format(ready)
  end
  return types["function"](check, value, { hint = hint })
end

-- A part of the schema that a later version brings.
function types.unsupported(check, _, descriptor)
  check:fault("not supported in this version%s", descriptor.instead and ": " .. descriptor.instead or " (remove it)")
end

local function port_number(value)
  local number = type(value) == "string" and value:match("^%s*(%d+)%s*$") and tonumber(value) or value
  return type(number) == "number" and number == math.floor(number) and number >= 0 and number <= 65535 and number or nil
end

local PORTS = '443, { 80, 443 }, "8000-8010" or { from = 8000, to = 8010 }'

local function port_range(check, value, from, to)
  local first, last = port_number(from), port_number(to)
  if not first or not last or first == 0 then
    check:expected("ports from 1 to 65535", value)
  elseif first > last then
    check:fault("the range %d-%d is the wrong way round: write %d-%d", first, last, last, first)
  else
    return { from = first, to = last }
  end
end

local function add_ports(check, value, ranges)
  if type(value) == "table" and not mark.kind(value) then
    if value.from ~= nil or value.to ~= nil then
      ranges[#ranges + 1] = port_range(check, value, value.from, value.to)
    elseif is_list(value) and #check.path < 16 then
      for i, item in ipairs(value) do
        check.path[#check.path + 1] = i
        add_ports(check, item, ranges)
        check.path[#check.path] = nil
      end
    else
      check:expected(PORTS, value)
    end
    return
  end
  local from, to = nil, nil
  if type(value) == "string" then
    from, to = value:match("^%s*(%d+)%s*%-%s*(%d+)%s*$")
  end
  local port = port_number(value)
  if from then
    ranges[#ranges + 1] = port_range(check, value, from, to)
  elseif port then
    ranges[#ranges + 1] = { from = port, to = port }
  else
    local list = type(value) == "string" and value:match("^%s*%d[%d%s,;%-]*[,;][%d%s,;%-]*$")
    local hint = list and ("a list stands in braces: { %s }"):format((value:gsub("%d+%s*%-%s*%d+", '"%0"')))
    local what = type(value) == "number" and "a port from 1 to 65535 (0: the kernel chooses one)" or PORTS
    check:expected(what, value, hint)
  end
end

-- A list of { from =, to = }, sorted, none overlapping. Port 0 stays alone: a port that the kernel gives.
function types.ports(check, value)
  local ranges, before = {}, #check.faults
  add_ports(check, value, ranges)
  if #check.faults > before then
    return nil
  elseif #ranges == 0 then
    check:fault("names no port: expected %s", PORTS)
    return nil
  end
  table.sort(ranges, function(a, b)
    return a.from < b.from
  end)
  local merged = {}
  for _, range in ipairs(ranges) do
    local last = merged[#merged]
    if last and last.from > 0 and range.from <= last.to + 1 then
      last.to = math.max(last.to, range.to)
    elseif last and last.from == 0 and range.from == 0 then
      check:fault("0 stands twice: the kernel chooses one port for a route")
      return nil
    else
      merged[#merged + 1] = range
    end
  end
  return merged
end

-- A local address to bind.
function types.address(check, value)
  if type(value) ~= "string" then
    check:expected('an address such as "127.0.0.1" or "::1"', value)
    return nil
  end
  local bare, port = value:match("^([%d.]+):(%d+)$")
  if not bare then
    bare, port = value:match("^%[(.*)%]:(%d+)$")
  end
  if bare then
    check:expected("an address without a port", value, ('write "%s", and ports = %s'):format(bare, port))
    return nil
  end
  bare = literal.bindable(value)
  if not bare then
    local is_name = not value:find("^[%d.]+$") and not value:find(":", 1, true)
    check:expected('an address such as "127.0.0.1" or "::1"', value, is_name and "a name can't be bound" or nil)
  end
  return bare
end

return types
