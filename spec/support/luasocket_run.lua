-- SPDX-License-Identifier: MIT
--
-- Runs a program that uses LuaSocket, and gives what it tells with emit(...), one line a call, written so that two runs
-- of it under different implementations can be compared. Works in a handler and in plain LuaJIT alike; as a program of
-- its own it is `luajit luasocket_run.lua PROGRAM ARGUMENTS…`.

-- luacheck: read_globals moongate

local function write(value, depth)
  local kind = type(value)
  if kind == "string" then
    return #value > 300 and ("%q… (%d bytes)"):format(value:sub(1, 300), #value) or ("%q"):format(value)
  elseif kind ~= "table" or depth > 4 then
    return (kind == "number" or kind == "boolean" or kind == "nil") and tostring(value) or "<" .. kind .. ">"
  elseif value.settimeout and value.getfd then
    return "<" .. tostring(value):gsub(":.*", "") .. ">"
  end
  local parts = {}
  for key, field in pairs(value) do
    parts[#parts + 1] = write(key, depth + 1) .. "=" .. write(field, depth + 1)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, " ") .. "}"
end

-- A userdata of LuaSocket's is a table of ours.
local function describe(value)
  if type(value) == "userdata" and value.settimeout then
    return "<" .. tostring(value):gsub(":.*", "") .. ">"
  end
  return write(value, 0)
end

-- LuaJIT does not know the names of C functions that pcall() calls; Lua functions know their own.
local function plain(err)
  if type(err) ~= "string" then
    return err
  end
  return err:gsub("^[^:]+:%d+: ", ""):match "^bad argument #%d to '[^']*' (.*)$"
    or err:gsub("^[^:]+:%d+: ", ""):match "^calling '[^']*' on bad self (.*)$"
    or err:gsub("^[^:]+:%d+: ", "") .. ""
end

local function run(text, ...)
  local lines = {}
  local function emit(...)
    local values = {}
    for i = 1, select("#", ...) do
      values[i] = describe((select(i, ...)))
    end
    lines[#lines + 1] = table.concat(values, " | ")
    if moongate then
      moongate.sleep(0) -- a long program is no endless one
    end
  end
  local function attempt(name, fn, ...)
    local function told(ok, ...)
      if ok then
        emit(name, ...)
      else
        emit(name, "raises", plain((...)))
      end
      return ...
    end
    return told(pcall(fn, ...))
  end
  local ok, err = pcall(assert(loadstring(text, "=program")), { emit = emit, attempt = attempt }, ...)
  if not ok then
    lines[#lines + 1] = "failed: " .. tostring(err)
  end
  return lines
end

if arg and arg[0] and arg[0]:find "luasocket_run%.lua$" then
  local file = assert(io.open(arg[1]))
  local text = file:read "*a"
  file:close()
  io.write(table.concat(run(text, unpack(arg, 2)), "\n"), "\n")
end

return run
