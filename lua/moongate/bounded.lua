-- SPDX-License-Identifier: MIT
--
-- Those of Lua's own functions that could run, or nest, without the watchdog ever having its look, made anew for user
-- states: LuaJIT's call themselves and each other in a loop of machine code, or work on in C for as long as they like.
-- What is Lua here is looked at between its instructions; what stays C is short, or looks for itself (bind_bounded.c).

-- luacheck: ignore 121 122 131 (it sets the globals up)

local _, core = ...
local look, is_full, has_object = core.look, core.is_full, core.has_object
local error, select, type, unpack = error, select, type, unpack
local tostring, pcall, xpcall, print = tostring, pcall, xpcall, print
local rawget, rawset, getmetatable = rawget, rawset, getmetatable
local format, gmatch, match, sub = string.format, string.gmatch, string.match, string.sub
local getn, new = table.getn, require("table.new")

-- Functions of LuaJIT that call their argument without a frame of Lua's. One whose __tostring it is would call itself
-- for ever, and one whose __call it is past the end of the stack. With a function of Lua's in between neither is so.

function _G.tostring(...)
  return tostring(...)
end

function _G.pcall(...)
  return pcall(...)
end

-- LuaJIT calls a handler on what little it keeps of a stack that has overflowed, where its own tracebacks go astray:
-- there it is not called, and the message stands as it is.
function _G.xpcall(fn, handler, ...)
  if type(handler) ~= "function" then
    return xpcall(fn, handler, ...)
  end
  return xpcall(fn, function(message)
    if is_full() or type(message) == "string" and sub(message, -14) == "stack overflow" then
      return message
    end
    return handler(message)
  end, ...)
end

-- Called from within C, a __tostring would nest C frames, and an error takes its time through many of them.

local function text_of(value)
  local text = _G.tostring(value)
  if type(text) ~= "string" and type(text) ~= "number" then
    error("'tostring' must return a string to 'print'", 3)
  end
  return text
end

function _G.print(...)
  if not has_object(...) then
    return print(...)
  end
  local texts, count = { ... }, select("#", ...)
  for i = 1, count do
    texts[i] = text_of(texts[i])
  end
  return print(unpack(texts, 1, count))
end

-- The values, those that "%s" stands for as texts.
local function formatted(pattern, ...)
  local values, count, at = { ... }, select("#", ...), 0
  for letter in gmatch(pattern, "%%[-+ #0]*%d*%.?%d*(.)") do
    if letter ~= "%" then
      at = at + 1
      local kind = type(values[at])
      if letter == "s" and (kind == "table" or kind == "userdata") then
        values[at] = tostring(values[at])
        if type(values[at]) ~= "string" then
          error("'__tostring' must return a string", 3)
        end
      end
    end
  end
  return format(pattern, unpack(values, 1, count))
end

function string.format(pattern, ...)
  if has_object(...) and type(pattern) == "string" then
    return formatted(pattern, ...)
  end
  return format(pattern, ...)
end

local function looked(...)
  look()
  return ...
end

local collect = collectgarbage

function collectgarbage(...)
  return looked(collect(...))
end

table.insert = core.insert

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
    local message = type(result) == "string" and match(result, "^moongate/bounded%.lua:%d+: (.*)")
    error(message or result, message and 3 or 0)
  end
  return result
end

function table.sort(list, is_less)
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
