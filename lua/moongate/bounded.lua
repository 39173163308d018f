-- SPDX-License-Identifier: MIT
--
-- Those of Lua's own functions that could run, or nest, without the watchdog ever having its look, made anew for user
-- states: LuaJIT's call themselves and each other in a loop of machine code, or work on in C for as long as they like.
-- What is Lua here is looked at between its instructions; what stays C is short, or looks for itself (bind_bounded.c).

-- luacheck: ignore 121 122 131 (it sets the globals up)

local _, core = ...
local look, is_full, has_object = core.look, core.is_full, core.has_object
local select, type, unpack = select, type, unpack
local tostring, pcall, xpcall = tostring, pcall, xpcall
local format, gmatch, sub = string.format, string.gmatch, string.sub

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

-- What "%s" stands for. What its __tostring gave is taken as it is, a number too; an object is not asked again.
local function text_of(value)
  local text = tostring(value)
  local kind = type(text)
  if kind == "table" or kind == "userdata" then
    return format("%s: %p", kind, text)
  end
  return tostring(text)
end

-- The values, those that "%s" and "%q" stand for as texts: called from within C, a __tostring would nest C frames, and
-- an error takes its time through many of them.
local function formatted(pattern, ...)
  local values, count, at = { ... }, select("#", ...), 0
  for letter in gmatch(pattern, "%%[-+ #0]*%d*%.?%d*(.)") do
    if letter ~= "%" then
      at = at + 1
      local kind = type(values[at])
      if (letter == "s" or letter == "q") and (kind == "table" or kind == "userdata") then
        values[at] = text_of(values[at])
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
