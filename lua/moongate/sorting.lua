-- SPDX-License-Identifier: MIT
--
-- table.sort of user states. LuaJIT's own is C, which calls the order without ever having the watchdog look, and takes
-- quadratic time for lists that were made for it. Loaded by its first user (lua/moongate/sandbox.lua).

local error, pcall, type = error, pcall, type
local rawget, rawset, getmetatable = rawget, rawset, getmetatable
local format, match = string.format, string.match
local getn, new = table.getn, require("table.new")

-- Runs of this many are sorted by insertion.
local RUN = 8

local function sort_run(list, first, last, is_less)
  for i = first + 1, last do
    local value, at = list[i], i
    while at > first and is_less(value, list[at - 1]) do
      list[at] = list[at - 1]
      at = at - 1
    end
    list[at] = value
  end
end

local function merge(from, to, first, middle, last, is_less)
  local left, right = first, middle + 1
  for i = first, last do
    if right > last or left <= middle and not is_less(from[right], from[left]) then
      to[i] = from[left]
      left = left + 1
    else
      to[i] = from[right]
      right = right + 1
    end
  end
end

-- By merging: n log n whatever the order, and an order that contradicts itself does no harm.
local function sorted(list, count, is_less)
  for first = 1, count, RUN do
    local last = first + RUN - 1
    sort_run(list, first, last < count and last or count, is_less)
  end
  local other, width = new(count, 0), RUN
  while width < count do
    for first = 1, count, 2 * width do
      local middle, last = first + width - 1, first + 2 * width - 1
      merge(list, other, first, middle < count and middle or count, last < count and last or count, is_less)
    end
    list, other, width = other, list, 2 * width
  end
  return list
end

local function is_smaller(a, b)
  return a < b
end

-- What can't be compared is told with the line of the caller.
local function compared(list, count)
  local fine, result = pcall(sorted, list, count, is_smaller)
  if not fine then
    local message = type(result) == "string" and match(result, "^moongate/sorting%.lua:%d+: (.*)")
    error(message or result, message and 3 or 0)
  end
  return result
end

local function sort(list, is_less)
  if type(list) ~= "table" then
    error(format("bad argument #1 to 'sort' (table expected, got %s)", list == nil and "no value" or type(list)), 2)
  elseif is_less ~= nil and type(is_less) ~= "function" then
    error(format("bad argument #2 to 'sort' (function expected, got %s)", type(is_less)), 2)
  end
  local count = getn(list)
  if count < 2 then
    return
  end
  local copy = new(count, 0)
  for i = 1, count do
    copy[i] = rawget(list, i)
  end
  copy = is_less and sorted(copy, count, is_less) or compared(copy, count)
  if getmetatable(list) == nil then
    for i = 1, count do
      list[i] = copy[i]
    end
  else
    for i = 1, count do
      rawset(list, i, copy[i])
    end
  end
end

return { sort = sort }
