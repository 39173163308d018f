-- SPDX-License-Identifier: MIT
--
-- The ASCII form of a name with other letters (RFC 3492, RFC 5890), to tell it to whoever wrote one. It maps no letters
-- to others (but ASCII's to lower case), so what it makes is a proposal to look at, not a conversion to rely on.

local punycode = {}

local BASE, T_MIN, T_MAX, SKEW, DAMP, FIRST_BIAS, FIRST_CODE = 36, 1, 26, 38, 700, 72, 128
local DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789"

-- The code points of a text; nil when it is not UTF-8.
local function code_points(text)
  local points, at = {}, 1
  while at <= #text do
    local first = text:byte(at)
    local size = first < 0x80 and 1 or first < 0xC2 and 0 or first < 0xE0 and 2 or first < 0xF0 and 3 or 4
    local point = size == 1 and first or first % 2 ^ (7 - size)
    if size == 0 or at + size - 1 > #text then
      return nil
    end
    for i = at + 1, at + size - 1 do
      local byte = text:byte(i)
      if byte < 0x80 or byte > 0xBF then
        return nil
      end
      point = point * 64 + byte % 64
    end
    points[#points + 1] = point
    at = at + size
  end
  return points
end

local function adapt(delta, count, first)
  delta = math.floor(first and delta / DAMP or delta / 2)
  delta = delta + math.floor(delta / count)
  local k = 0
  while delta > (BASE - T_MIN) * T_MAX / 2 do
    delta = math.floor(delta / (BASE - T_MIN))
    k = k + BASE
  end
  return k + math.floor((BASE - T_MIN + 1) * delta / (delta + SKEW))
end

local function digit(value)
  return DIGITS:sub(value + 1, value + 1)
end

-- Appends a number as digits whose weights depend on `bias` (RFC 3492, 6.3).
local function append_number(out, number, bias)
  local k = BASE
  while true do
    local threshold = math.min(math.max(k - bias, T_MIN), T_MAX)
    if number < threshold then
      out[#out + 1] = digit(number)
      return
    end
    out[#out + 1] = digit(threshold + (number - threshold) % (BASE - threshold))
    number = math.floor((number - threshold) / (BASE - threshold))
    k = k + BASE
  end
end

-- The least of the points that is not below `limit`.
local function next_point(points, limit)
  local least = math.huge
  for _, point in ipairs(points) do
    least = point >= limit and math.min(least, point) or least
  end
  return least
end

local function encode(points)
  local out = {}
  for _, point in ipairs(points) do
    if point < FIRST_CODE then
      out[#out + 1] = string.char(point)
    end
  end
  local basic, done = #out, #out
  if basic > 0 then
    out[#out + 1] = "-"
  end
  local delta, bias, limit = 0, FIRST_BIAS, FIRST_CODE
  while done < #points do
    local least = next_point(points, limit)
    delta = delta + (least - limit) * (done + 1)
    for _, point in ipairs(points) do
      delta = delta + (point < least and 1 or 0)
      if point == least then
        append_number(out, delta, bias)
        bias = adapt(delta, done + 1, done == basic)
        delta, done = 0, done + 1
      end
    end
    delta, limit = delta + 1, least + 1
  end
  return table.concat(out)
end

---@param name string
---@return string|nil ascii nil when it is not UTF-8
function punycode.name(name)
  local labels = {}
  for label in (name:lower() .. "."):gmatch("([^.]*)%.") do
    local points = code_points(label)
    if not points then
      return nil
    end
    labels[#labels + 1] = label:find("[\128-\255]") and "xn--" .. encode(points) or label
  end
  return table.concat(labels, ".")
end

return punycode
