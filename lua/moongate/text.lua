-- SPDX-License-Identifier: MIT
--
-- Quantities and names as people write and read them: durations, sizes and rates parsed and formatted, and the
-- nearest of some known names. What is wrong with a value, and where, is said by its user.

local text = {}

local MILLISECONDS = { ms = 1, s = 1000, m = 60 * 1000, h = 3600 * 1000, d = 86400 * 1000 }
local BYTES = { [""] = 1, b = 1, k = 1024, kb = 1024, m = 1024 ^ 2, mb = 1024 ^ 2, g = 1024 ^ 3, gb = 1024 ^ 3 }
local BITS = { bps = 1, kbps = 1e3, mbps = 1e6, gbps = 1e9 }

local function whole(number)
  if number ~= number or number < 0 or number > 2 ^ 53 then
    return nil
  end
  return math.floor(number + 0.5)
end

local function with_unit(value, units, number_unit)
  if type(value) == "number" then
    return whole(value * number_unit)
  end
  if type(value) ~= "string" then
    return nil
  end
  local digits, unit = value:match("^(%d+%.?%d*)%s*(%a*)$")
  local factor = units[unit and unit:lower()]
  return digits and factor and whole(tonumber(digits) * factor)
end

---Whole milliseconds of a number of seconds, or of "500ms", "90s", "5m", "4h", "30d"; nil when it is none.
---@param value any
---@return integer?
function text.duration(value)
  local ms = with_unit(value, MILLISECONDS, 1000)
  -- What is too short to be told from "off" must not become it.
  if ms == 0 and (type(value) == "number" and value or tonumber(value:match("^[%d.]+"))) > 0 then
    return 1
  end
  return ms
end

---Bytes of a number, or of "64k", "1m", "2g"; nil when it is none.
---@param value any
---@return integer?
function text.size(value)
  return with_unit(value, BYTES, 1)
end

---Bytes a second of a number of those, or of bits: "10mbps", "10gbps"; nil when it is none.
---@param value any
---@return integer?
function text.rate(value)
  if type(value) == "number" then
    return whole(value)
  end
  local bits = with_unit(value, BITS, 1)
  return bits and whole(bits / 8)
end

local function distance(a, b)
  local before, row = nil, {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local current = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      current[j] = math.min(row[j] + 1, current[j - 1] + 1, row[j - 1] + cost)
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        current[j] = math.min(current[j], before[j - 2] + 1)
      end
    end
    before, row = row, current
  end
  return row[#b]
end

---The one of `names` that `name` was probably meant to be, or nil when none is near.
---@param name string
---@param names string[]
---@return string?
function text.nearest(name, names)
  if #name > 64 then
    return nil
  end
  local plain = name:lower():gsub("[%-%s]", "_")
  local best, best_distance
  for _, known in ipairs(names) do
    local d = distance(plain, known)
    if d <= math.max(1, math.floor(#known / 3)) and (not best or d < best_distance) then
      best, best_distance = known, d
    end
  end
  return best
end

---A value for a message: a string quoted, cut and free of control characters; what is no plain value by its kind.
---@param value any
---@return string
function text.show(value)
  local kind = type(value)
  if kind == "string" then
    local shown = #value > 60 and value:sub(1, 57) .. "..." or value
    return '"' .. shown:gsub('[%c"\\]', function(c)
      return (c == '"' or c == "\\") and "\\" .. c or ("\\%d"):format(c:byte())
    end) .. '"'
  elseif kind == "number" then
    return ("%.14g"):format(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind == "nil" then
    return "nothing"
  end
  return "a " .. kind
end

---"4d 3h", "2m 5s", "0.5s": at most two units.
---@param seconds number
---@return string
function text.format_duration(seconds)
  if seconds < 10 and seconds ~= math.floor(seconds) then
    return ("%.1fs"):format(seconds)
  end
  local rest, parts = math.floor(seconds), {}
  for _, unit in ipairs({ { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } }) do
    local count = math.floor(rest / unit[1])
    if count > 0 and #parts < 2 then
      parts[#parts + 1] = ("%d%s"):format(count, unit[2])
    elseif #parts > 0 then
      break
    end
    rest = rest - count * unit[1]
  end
  return #parts > 0 and table.concat(parts, " ") or "0s"
end

---"512 B", "1.5 KiB", "3.0 GiB".
---@param bytes number
---@return string
function text.format_bytes(bytes)
  local units = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" }
  local index = 1
  while bytes >= 1024 and index < #units do
    bytes, index = bytes / 1024, index + 1
  end
  return (index == 1 and "%d %s" or "%.1f %s"):format(bytes, units[index])
end

---"1 file", "2 files".
---@param count number
---@param noun string
---@return string
function text.plural(count, noun, many)
  return ("%d %s"):format(count, count == 1 and noun or many or noun .. "s")
end

---"worker 2 is stuck for 37s in route web (web.lua)", of one that native.ask("readiness") tells.
---@param worker table
---@return string
function text.stuck_worker(worker)
  local route = worker.route and "route " .. worker.route
  local place = route and worker.file and ("%s (%s)"):format(route, worker.file) or route or worker.file
  return ("worker %d is stuck for %s%s"):format(
    worker.number, text.format_duration(math.floor(worker.seconds)), place and " in " .. place or "")
end

---A value as people read it: whole numbers to their last digit, which tostring() rounds to fourteen.
---@param value any
---@return string
function text.plain(value)
  if type(value) == "number" and value % 1 == 0 and math.abs(value) < 2 ^ 63 then
    return ("%.0f"):format(value)
  end
  return tostring(value)
end

---"loading routes/site.lua for 3s"
---@param loading? table with file, seconds
---@return string? # nil: nothing is loaded
function text.loading(loading)
  return loading and ("loading %s for %s"):format(loading.file, text.format_duration(math.floor(loading.seconds)))
end

---A word as it may stand in a line of the shell.
---@param word string
---@return string
function text.shell_word(word)
  return word:find("^[%w%.:_/@%%+-]+$") and word or "'" .. word:gsub("'", "'\\''") .. "'"
end

return text
